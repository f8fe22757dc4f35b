package pkcs11

// newerCodes names the return codes that the bindings' own table lacks (PKCS #11 v2.40 errata and v3.0). It is never written to.
var newerCodes = map[uint]string{
	0x1B:  "CKR_ACTION_PROHIBITED",
	0x140: "CKR_CURVE_NOT_SUPPORTED",
	0x1B5: "CKR_EXCEEDED_MAX_ITERATIONS",
	0x1B6: "CKR_FIPS_SELF_TEST_FAILED",
	0x1B7: "CKR_LIBRARY_LOAD_FAILED",
	0x1B8: "CKR_PIN_TOO_WEAK",
	0x1B9: "CKR_PUBLIC_KEY_INVALID",
	0x201: "CKR_TOKEN_RESOURCE_EXCEEDED",
	0x202: "CKR_OPERATION_CANCEL_FAILED",
}
