/* curl_table.c - finding libcurl at run time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "hub/curl_table.h"

#include <dlfcn.h>
#include <string.h>

#ifdef __APPLE__
static const char *const library_names[] = {"libcurl.4.dylib"};
#else
static const char *const library_names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
#endif

/* RTLD_NODELETE: the TLS libraries under libcurl leave hooks behind that must outlive us. */
static void *open_library(void) {
    for (size_t i = 0; i < sizeof library_names / sizeof *library_names; i++) {
        void *library = dlopen(library_names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (library) return library;
    }
    return NULL;
}

tern_status tern__curl_open(tern_curl *out, tern_error *err) {
    *out = (tern_curl){.library = open_library()};
    if (!out->library)
        return TERN_FAIL(err, TERN_E_UNSUPPORTED,
                         "to download, libcurl is needed, and there is none (%s): install it (Debian: libcurl4), or put the model's folder "
                         "here by other means",
                         library_names[0]);
    const char *missing = NULL;
#define TERN_CURL_LOOK_UP(field, name)                                                                                                     \
    {                                                                                                                                      \
        void *symbol = dlsym(out->library, #name);                                                                                         \
        if (!symbol) missing = #name;                                                                                                      \
        memcpy(&out->field, &symbol, sizeof symbol); /* ISO C has no cast from an object to a function */                                  \
    }
    TERN_CURL_FUNCTIONS(TERN_CURL_LOOK_UP)
#undef TERN_CURL_LOOK_UP
    tern_status status = TERN_OK;
    if (missing) {
        status = TERN_FAIL(err, TERN_E_UNSUPPORTED, "libcurl is too old: it has no %s; Tern needs 7.68", missing);
    } else if (out->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        status = TERN_FAIL(err, TERN_E_MEMORY, "libcurl cannot start");
    }
    if (status != TERN_OK) dlclose(out->library);
    return status;
}

void tern__curl_close(tern_curl *curl) {
    curl->global_cleanup();
    dlclose(curl->library);
}
