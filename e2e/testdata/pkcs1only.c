/*
 * A PKCS#11 module in front of another one (INNER_MODULE), which takes from it every mechanism but CKM_RSA_PKCS: what the module of a
 * CPS3 card can do. All other functions are those of the module behind.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "pkcs11go.h"

static CK_FUNCTION_LIST list;
static CK_FUNCTION_LIST_PTR inner;

static CK_RV get_mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR out, CK_ULONG_PTR count)
{
	(void)slot;
	if (out && *count < 1)
		return CKR_BUFFER_TOO_SMALL;
	if (out)
		out[0] = CKM_RSA_PKCS;
	*count = 1;
	return CKR_OK;
}

static CK_RV get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info)
{
	return type == CKM_RSA_PKCS ? inner->C_GetMechanismInfo(slot, type, info) : CKR_MECHANISM_INVALID;
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key)
{
	return mechanism->mechanism == CKM_RSA_PKCS ? inner->C_SignInit(session, mechanism, key) : CKR_MECHANISM_INVALID;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR out)
{
	if (!inner) {
		const char *path = getenv("INNER_MODULE");
		void *module = path ? dlopen(path, RTLD_NOW) : NULL;
		CK_C_GetFunctionList get = module ? (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList") : NULL;
		if (!get || get(&inner) != CKR_OK)
			return CKR_GENERAL_ERROR;
		memcpy(&list, inner, sizeof list);
		list.C_GetMechanismList = get_mechanism_list;
		list.C_GetMechanismInfo = get_mechanism_info;
		list.C_SignInit = sign_init;
	}
	*out = &list;
	return CKR_OK;
}
