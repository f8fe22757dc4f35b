/*
 * A PKCS#11 module for tests, with one token in one slot. It prints on standard output in every call, as some modules do, and
 * behaves as the environment says:
 *
 *   SHIM_DIR           holds cert.der and signature, which every C_Sign returns; calls are noted in the file calls
 *   SHIM_<function>    what that function does: hang, slow, crash, exit, or the code (0x…) that it returns
 *   SHIM_PAD           the token has a PIN pad
 *   SHIM_REMOVABLE     the slot is a reader
 *   SHIM_VISIBLE       the key is shown before the login
 *   SHIM_ALWAYS        the key wants its PIN at each signature
 *   SHIM_MECHANISMS    numbers of the mechanisms, separated by commas
 *   SHIM_REFUSED       number of one that is refused all the same
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "pkcs11go.h"

#define CERTIFICATE 1
#define KEY 2

static CK_OBJECT_CLASS wanted;
static int logged_in, context_login;

static void path(char *out, size_t n, const char *name)
{
	const char *dir = getenv("SHIM_DIR");
	snprintf(out, n, "%s/%s", dir ? dir : ".", name);
}

static void note(const char *format, ...)
{
	char name[4096];
	path(name, sizeof name, "calls");
	FILE *f = fopen(name, "a");
	if (!f)
		return;
	va_list args;
	va_start(args, format);
	vfprintf(f, format, args);
	va_end(args);
	fputc('\n', f);
	fclose(f);
}

static CK_ULONG contents(const char *file, unsigned char *out, size_t room)
{
	char name[4096];
	path(name, sizeof name, file);
	FILE *f = fopen(name, "rb");
	if (!f)
		return 0;
	size_t n = fread(out, 1, room, f);
	fclose(f);
	return n;
}

static CK_RV act(const char *function)
{
	char name[64];
	printf("{\"noise\": \"%s\"}\n", function);
	fflush(stdout);
	snprintf(name, sizeof name, "SHIM_%s", function);
	const char *what = getenv(name);
	if (!what)
		return CKR_OK;
	if (!strcmp(what, "hang"))
		for (;;)
			pause();
	if (!strcmp(what, "slow"))
		return usleep(300000), CKR_OK;
	if (!strcmp(what, "crash"))
		*(volatile int *)0 = 0;
	if (!strcmp(what, "exit"))
		_exit(3);
	return strtoul(what, NULL, 0);
}

static void fill(CK_UTF8CHAR *field, size_t n, const char *text)
{
	memset(field, ' ', n);
	memcpy(field, text, strlen(text));
}

CK_RV C_Initialize(CK_VOID_PTR args)
{
	(void)args;
	note("stdin: %d", getchar());
	note("pid: %d", (int)getpid());
	return act("C_Initialize");
}

CK_RV C_GetSlotList(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count)
{
	(void)present;
	CK_RV rv = act("C_GetSlotList");
	if (slots && *count)
		slots[0] = 7;
	*count = 1;
	return rv;
}

CK_RV C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info)
{
	(void)slot;
	memset(info, 0, sizeof *info);
	fill(info->slotDescription, sizeof info->slotDescription, "Shim reader");
	info->flags = CKF_TOKEN_PRESENT;
	if (getenv("SHIM_REMOVABLE"))
		info->flags |= CKF_REMOVABLE_DEVICE;
	return act("C_GetSlotInfo");
}

CK_RV C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	(void)slot;
	memset(info, 0, sizeof *info);
	fill(info->label, sizeof info->label, "Shim token");
	fill(info->serialNumber, sizeof info->serialNumber, "42");
	info->flags = CKF_LOGIN_REQUIRED | CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED;
	if (getenv("SHIM_PAD"))
		info->flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
	info->ulMinPinLen = 4;
	info->ulMaxPinLen = 4;
	return act("C_GetTokenInfo");
}

CK_RV C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR count)
{
	(void)slot;
	const char *text = getenv("SHIM_MECHANISMS");
	CK_ULONG n = 0;
	while (text && *text) {
		char *end;
		CK_ULONG m = strtoul(text, &end, 0);
		if (list && n < *count)
			list[n] = m;
		n++;
		text = *end == ',' ? end + 1 : "";
	}
	*count = n;
	return act("C_GetMechanismList");
}

CK_RV C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR app, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR session)
{
	(void)slot; (void)flags; (void)app; (void)notify;
	*session = 1;
	return act("C_OpenSession");
}

CK_RV C_CloseSession(CK_SESSION_HANDLE session)
{
	(void)session;
	return act("C_CloseSession");
}

CK_RV C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG n)
{
	(void)session;
	if (pin)
		note("login %lu %.*s", user, (int)n, pin);
	else
		note("login %lu on the pad", user);
	CK_RV rv = act("C_Login");
	if (rv == CKR_OK && user == CKU_USER)
		logged_in = 1;
	if (rv == CKR_OK && user == CKU_CONTEXT_SPECIFIC)
		context_login = 1;
	return rv;
}

CK_RV C_Logout(CK_SESSION_HANDLE session)
{
	(void)session;
	note("logout");
	return act("C_Logout");
}

static int left;

CK_RV C_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR template, CK_ULONG count)
{
	(void)session;
	left = 1;
	for (CK_ULONG i = 0; i < count; i++) {
		if (template[i].type == CKA_CLASS)
			wanted = *(CK_OBJECT_CLASS *)template[i].pValue;
		if (template[i].type == CKA_ALWAYS_AUTHENTICATE && !getenv("SHIM_ALWAYS"))
			left = 0;
	}
	if (wanted == CKO_PRIVATE_KEY && !logged_in && !getenv("SHIM_VISIBLE"))
		left = 0;
	return act("C_FindObjectsInit");
}

CK_RV C_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR objects, CK_ULONG max, CK_ULONG_PTR count)
{
	(void)session;
	*count = 0;
	if (max && left) {
		objects[0] = wanted == CKO_PRIVATE_KEY ? KEY : CERTIFICATE;
		*count = 1;
		left = 0;
	}
	return act("C_FindObjects");
}

CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE session)
{
	(void)session;
	return act("C_FindObjectsFinal");
}

CK_RV C_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR a, CK_ULONG count)
{
	(void)session;
	static unsigned char value[8192];
	CK_ULONG n = 0;
	CK_RV rv = act("C_GetAttributeValue");
	if (rv != CKR_OK || count != 1)
		return rv ? rv : CKR_ARGUMENTS_BAD;
	switch (a->type) {
	case CKA_VALUE:
		n = contents("cert.der", value, sizeof value);
		break;
	case CKA_ID:
		value[0] = 0x45;
		n = 1;
		break;
	case CKA_ALWAYS_AUTHENTICATE:
		value[0] = object == KEY && getenv("SHIM_ALWAYS") != NULL;
		n = 1;
		break;
	default:
		return CKR_ATTRIBUTE_TYPE_INVALID;
	}
	if (a->pValue)
		memcpy(a->pValue, value, n < a->ulValueLen ? n : a->ulValueLen);
	a->ulValueLen = n;
	return CKR_OK;
}

CK_RV C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE key)
{
	(void)session; (void)key;
	note("mechanism 0x%lx", m->mechanism);
	context_login = 0;
	const char *refused = getenv("SHIM_REFUSED");
	if (refused && strtoul(refused, NULL, 0) == m->mechanism)
		return CKR_MECHANISM_INVALID;
	return act("C_SignInit");
}

CK_RV C_Sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG n, CK_BYTE_PTR out, CK_ULONG_PTR room)
{
	(void)session;
	static unsigned char signature[8192];
	CK_ULONG size = contents("signature", signature, sizeof signature);
	CK_RV rv = act("C_Sign");
	if (rv != CKR_OK)
		return rv;
	if (getenv("SHIM_ALWAYS") && !context_login)
		return CKR_USER_NOT_LOGGED_IN;
	if (out) {
		char name[4096];
		path(name, sizeof name, "data");
		FILE *f = fopen(name, "wb");
		if (f) {
			fwrite(data, 1, n, f);
			fclose(f);
		}
		memcpy(out, signature, size < *room ? size : *room);
	}
	*room = size;
	return CKR_OK;
}

static CK_FUNCTION_LIST functions = {
	.version = {2, 40},
	.C_Initialize = C_Initialize,
	.C_GetSlotList = C_GetSlotList,
	.C_GetSlotInfo = C_GetSlotInfo,
	.C_GetTokenInfo = C_GetTokenInfo,
	.C_GetMechanismList = C_GetMechanismList,
	.C_OpenSession = C_OpenSession,
	.C_CloseSession = C_CloseSession,
	.C_Login = C_Login,
	.C_Logout = C_Logout,
	.C_FindObjectsInit = C_FindObjectsInit,
	.C_FindObjects = C_FindObjects,
	.C_FindObjectsFinal = C_FindObjectsFinal,
	.C_GetAttributeValue = C_GetAttributeValue,
	.C_SignInit = C_SignInit,
	.C_Sign = C_Sign,
};

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	*list = &functions;
	return CKR_OK;
}
