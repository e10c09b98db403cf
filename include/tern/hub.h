/* tern/hub.h - a repository of the hub becomes a folder on this machine.
 * A part of tern.h, which is the one to include. SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_HUB_H
#define TERN_HUB_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How far a download is. What was there already counts as neither. */
typedef struct tern_hub_progress {
    size_t n_files, n_files_done;
    uint64_t n_bytes, n_bytes_done; /* done: with what an interrupted download had left */
} tern_hub_progress;

/* Where models come from and where they are kept. But for TERN_PLUGIN_PATH (tern_device_list), the library reads the
 * environment in tern_hub_options_from_environment only. */
typedef struct tern_hub_options {
    size_t size;                /* sizeof(tern_hub_options); set by tern_hub_options_default */
    const char *revision;       /* a branch, a tag or a commit's 40 digits; NULL (default): "main" */
    const char *const *include; /* n_include patterns of paths, as Python's fnmatch: `*` also takes '/'; NULL (default): what Tern reads */
    size_t n_include;
    bool tokenizer_only;        /* without include: leave the weights out; default false */
    bool update;                /* ask what the revision's commit is now, cached or not; default false */
    bool offline;               /* default false: what is not cached is downloaded */
    const char *cache_folder;   /* the cache that huggingface_hub uses too; no default */
    const char *endpoint;       /* NULL (default): "https://huggingface.co" */
    const char *token;          /* sent to the endpoint's host and to no other; NULL (default): none */
    int etag_timeout_s;         /* a question is given up after so many seconds without an answer, and asked again; default 10 */
    int download_timeout_s;     /* and a download after so many without a byte, and taken up again; default 10 */
    bool (*progress)(void *user, const tern_hub_progress *progress); /* a few times a second, from the calling thread; false stops */
    void *user;
    void *storage;              /* private: what the strings of tern_hub_options_from_environment live in */
} tern_hub_options;

TERN_API tern_hub_options tern_hub_options_default(void);

/* tern_hub_options_from_environment - the defaults, and what huggingface_hub's environment variables say: HF_HUB_CACHE (or
 * HUGGINGFACE_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub), HF_ENDPOINT, HF_TOKEN (or the file
 * HF_TOKEN_PATH or HF_HOME/token; none with HF_HUB_DISABLE_IMPLICIT_TOKEN), HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE), HF_HUB_ETAG_TIMEOUT,
 * HF_HUB_DOWNLOAD_TIMEOUT. Free with tern_hub_options_free.
 * errors   TERN_E_CONFIG  a timeout that is no number, or none of the variables and no home folder says where the cache is
 *          TERN_E_IO      the token file cannot be read */
TERN_API tern_status tern_hub_options_from_environment(tern_hub_options *out, tern_error *err);
TERN_API void tern_hub_options_free(tern_hub_options *options);

/* tern_hub_find - the cached folder of a repository, if all that was asked for is in it. Never touches the network.
 * folder   a path that tern_model_load takes; free with tern_free
 * repo_id  "ORG/NAME", or a bare "NAME" such as "bert-base-uncased"
 * errors   TERN_E_ARGUMENT  not a repository id, a revision or an option that cannot be     TERN_E_IO  not cached, or not all of it */
TERN_API tern_status tern_hub_find(char **folder, const char *repo_id, const tern_hub_options *options, tern_error *err);

/* tern_hub_pull - tern_hub_find, else download what is missing, several files at once.
 * A file appears under its name when it is complete and its checksum is right; what an interruption leaves is used by the next call.
 * Cuts, busy servers and silence are tried again, a bounded number of times. Processes that pull the same share the work. When the hub
 * cannot be reached, or offline is set, what is cached of the revision is taken if it has a config and whole weights (a tokenizer, with
 * tokenizer_only), though other files may be missing.
 * Proxies are those of libcurl's environment variables. libcurl is opened when there is something to ask; its versions before 7.84 take
 * one pull at a time.
 * errors   TERN_E_ARGUMENT     as tern_hub_find
 *          TERN_E_IO           the hub cannot be reached or refuses (the message says what to do: a missing, private or gated repository,
 *                              a missing revision, too many requests), the cache cannot be written, the disk is full
 *          TERN_E_FORMAT       an answer or a file that is not what the hub said it is
 *          TERN_E_UNSUPPORTED  something must be downloaded and there is no libcurl     TERN_E_CANCELLED */
TERN_API tern_status tern_hub_pull(char **folder, const char *repo_id, const tern_hub_options *options, tern_error *err);

#ifdef __cplusplus
}
#endif
#endif
