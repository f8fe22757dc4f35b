package pkcs11

// newerCodes names the return codes that the bindings' own table lacks. It is never written to.
var newerCodes = map[uint]string{}
