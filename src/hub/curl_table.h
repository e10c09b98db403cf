/* curl_table.h - libcurl, opened when something is to be asked of a hub: linking it would cost every start some milliseconds and two dozen
 * shared libraries. Its types come from its header.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_HUB_CURL_TABLE_H
#define TERN_HUB_CURL_TABLE_H

#include <curl/curl.h>

#include "base/error.h"

#define TERN_CURL_FUNCTIONS(X)                                                                                                             \
    X(global_init, curl_global_init)                                                                                                       \
    X(global_cleanup, curl_global_cleanup)                                                                                                 \
    X(easy_init, curl_easy_init)                                                                                                           \
    X(easy_setopt, curl_easy_setopt)                                                                                                       \
    X(easy_getinfo, curl_easy_getinfo)                                                                                                     \
    X(easy_reset, curl_easy_reset)                                                                                                         \
    X(easy_strerror, curl_easy_strerror)                                                                                                   \
    X(easy_cleanup, curl_easy_cleanup)                                                                                                     \
    X(multi_init, curl_multi_init)                                                                                                         \
    X(multi_add_handle, curl_multi_add_handle)                                                                                             \
    X(multi_remove_handle, curl_multi_remove_handle)                                                                                       \
    X(multi_perform, curl_multi_perform)                                                                                                   \
    X(multi_poll, curl_multi_poll)                                                                                                         \
    X(multi_info_read, curl_multi_info_read)                                                                                               \
    X(multi_strerror, curl_multi_strerror)                                                                                                 \
    X(multi_cleanup, curl_multi_cleanup)                                                                                                   \
    X(slist_append, curl_slist_append)                                                                                                     \
    X(slist_free_all, curl_slist_free_all)

typedef struct tern_curl {
#define TERN_CURL_FIELD(field, name) __typeof__(&(name)) field;
    TERN_CURL_FUNCTIONS(TERN_CURL_FIELD)
#undef TERN_CURL_FIELD
    void *library;
} tern_curl;

/* TERN_E_UNSUPPORTED when no libcurl is there, or one that is too old. */
tern_status tern__curl_open(tern_curl *out, tern_error *err);
void tern__curl_close(tern_curl *curl);

#endif
