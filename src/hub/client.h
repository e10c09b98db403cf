/* client.h - many requests at once, each tried again when that may help. What a request is for, its hooks know.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_HUB_CLIENT_H
#define TERN_HUB_CLIENT_H

#include "hub/answer.h"
#include "hub/curl_table.h"

typedef struct tern_hub_request tern_hub_request;

typedef enum tern_hub_step {
    TERN_HUB_GO,   /* ask */
    TERN_HUB_WAIT, /* another process is at it: look again a little later */
    TERN_HUB_DONE  /* there is nothing left to ask */
} tern_hub_step;

/* A hook that fails ends the run, unless it sets request->may_retry. */
typedef struct tern_hub_hooks {
    /* Before each attempt; sets request->from. request->answer is that of the attempt before. */
    tern_status (*start)(tern_hub_request *request, tern_hub_step *step, tern_error *err);
    /* A piece of the body of a successful answer, whose headers are in request->answer. */
    tern_status (*receive)(tern_hub_request *request, const char *bytes, size_t n_bytes, tern_error *err);
    /* The body is whole. */
    tern_status (*finish)(tern_hub_request *request, tern_error *err);
    /* After each attempt and each WAIT, however it went: let go of files and locks. */
    void (*stop)(tern_hub_request *request);
} tern_hub_hooks;

struct tern_hub_request {
    const tern_hub_hooks *hooks;
    const char *url;
    tern_hub_question question;
    bool is_head;   /* HEAD; a redirect that carries X-Linked-Etag is its answer */
    int timeout_s;  /* of silence */
    int64_t from;   /* first byte wanted */
    bool may_retry; /* set by a hook that fails */
    tern_hub_answer answer;

    /* The client's own. */
    enum { TERN_HUB_QUEUED, TERN_HUB_RUNNING, TERN_HUB_FINISHED } state;
    double wake_s;       /* not before */
    unsigned n_failures; /* in a row without a new byte */
    unsigned n_attempts;
};

enum { TERN_HUB_SLOTS = 8 };

typedef struct tern_hub_client tern_hub_client;

/* One transfer that runs. */
typedef struct tern_hub_slot {
    tern_hub_client *client;
    CURL *handle;
    tern_hub_request *request; /* NULL: idle */
    char *url;                 /* where redirects have led; NULL: request->url */
    int n_redirects;
    bool has_received;
    double heard_s;      /* when a byte last came */
    tern_status failure; /* of a hook, while curl is at work */
    tern_error err;
    char curl_message[CURL_ERROR_SIZE];
} tern_hub_slot;

struct tern_hub_client {
    tern_curl curl;
    CURLM *multi;
    const char *endpoint;
    struct curl_slist *headers_with_token, *headers;
    const tern_hub_options *options;
    tern_hub_progress progress; /* kept by hooks, shown by the client */
    double shown_s;
    bool has_answered;     /* the hub has said something */
    bool is_unreachable;   /* why the last run failed: no answer, or none of use */
    unsigned max_failures; /* of a request, in a row */
    tern_hub_slot slots[TERN_HUB_SLOTS];
};

/* endpoint and options are borrowed. */
tern_status tern__hub_client_open(tern_hub_client *client, const char *endpoint, const tern_hub_options *options, tern_error *err);
void tern__hub_client_close(tern_hub_client *client);

/* Run requests, `stride` bytes from one to the next, until all are done or one fails. */
tern_status tern__hub_client_run(tern_hub_client *client, void *requests, size_t stride, size_t n, tern_error *err);

#endif
