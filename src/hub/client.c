/* client.c - the loop over libcurl's multi interface: starting, redirecting, retrying, giving up, cancelling.
 * Redirects are followed here and not by libcurl, so that the token goes to the endpoint's own scheme, host and port and nowhere else,
 * whatever libcurl's version.
 * SPDX-License-Identifier: Apache-2.0 */
#include "hub/client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define AS_TEXT(number)                   #number
#define VERSION_TEXT(major, minor, patch) AS_TEXT(major) "." AS_TEXT(minor) "." AS_TEXT(patch)
static const char user_agent[] = "tern/" VERSION_TEXT(TERN_VERSION_MAJOR, TERN_VERSION_MINOR, TERN_VERSION_PATCH);

enum { MAX_REDIRECTS = 10, MAX_FAILURES = 5, MAX_ATTEMPTS = 100, MAX_RETRY_AFTER_S = 120 };

static double client_clock_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- URLs ---- */

/* Length of "scheme://host:port"; 0 when it is not a URL of the web. */
static size_t origin_bytes(const char *url) {
    size_t scheme = strncasecmp(url, "https://", 8) == 0 ? 8 : strncasecmp(url, "http://", 7) == 0 ? 7 : 0;
    size_t host = scheme ? strcspn(url + scheme, "/?#") : 0;
    return host ? scheme + host : 0;
}

static bool has_same_origin(const char *a, const char *b) {
    size_t n = origin_bytes(a);
    return n > 0 && n == origin_bytes(b) && strncasecmp(a, b, n) == 0;
}

static bool is_downgrade(const char *from, const char *to) {
    return strncasecmp(from, "https:", 6) == 0 && strncasecmp(to, "https:", 6) != 0;
}

/* ---- Opening and closing ---- */

static bool add_header(tern_hub_client *client, struct curl_slist **list, const char *line) {
    struct curl_slist *longer = client->curl.slist_append(*list, line);
    if (longer) *list = longer;
    return longer != NULL;
}

static bool make_headers(tern_hub_client *client, tern_arena *arena) {
    static const char identity[] = "Accept-Encoding: identity"; /* sizes and ranges are those of the file itself */
    if (!add_header(client, &client->headers, identity) || !add_header(client, &client->headers_with_token, identity)) return false;
    const char *token = client->options->token;
    if (!token) return true;
    const char *line = tern__arena_format(arena, "Authorization: Bearer %s", token);
    return line && add_header(client, &client->headers_with_token, line);
}

static tern_status open_handles(tern_hub_client *client) {
    client->multi = client->curl.multi_init();
    bool is_open = client->multi != NULL;
    for (size_t i = 0; is_open && i < TERN_HUB_SLOTS; i++) {
        client->slots[i].client = client;
        client->slots[i].handle = client->curl.easy_init();
        is_open = client->slots[i].handle != NULL;
    }
    tern_arena arena = {0};
    is_open = is_open && make_headers(client, &arena);
    tern__arena_free(&arena);
    return is_open ? TERN_OK : TERN_E_MEMORY;
}

tern_status tern__hub_client_open(tern_hub_client *client, const char *endpoint, const tern_hub_options *options, tern_error *err) {
    *client = (tern_hub_client){.endpoint = endpoint, .options = options, .max_failures = MAX_FAILURES};
    if (origin_bytes(endpoint) == 0)
        return TERN_FAIL(err, TERN_E_ARGUMENT, "endpoint: not a URL that begins with http:// or https://: \"%s\"",
                         tern__hub_clean(endpoint, strlen(endpoint)).text);
    TERN_TRY(tern__curl_open(&client->curl, err));
    if (open_handles(client) == TERN_OK) return TERN_OK;
    tern__hub_client_close(client);
    return TERN_FAIL(err, TERN_E_MEMORY, "out of memory while libcurl starts");
}

void tern__hub_client_close(tern_hub_client *client) {
    const tern_curl *curl = &client->curl;
    for (size_t i = 0; i < TERN_HUB_SLOTS; i++)
        if (client->slots[i].handle) curl->easy_cleanup(client->slots[i].handle);
    if (client->multi) curl->multi_cleanup(client->multi);
    curl->slist_free_all(client->headers);
    curl->slist_free_all(client->headers_with_token);
    tern__curl_close(&client->curl);
}

/* ---- One transfer ---- */

static size_t on_header(char *line, size_t size, size_t n, void *user) {
    tern_hub_slot *slot = user;
    (void)size;
    slot->heard_s = client_clock_s();
    slot->client->has_answered = true;
    tern__hub_answer_line(&slot->request->answer, line, n, time(NULL));
    return n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *user) {
    tern_hub_slot *slot = user;
    tern_hub_request *request = slot->request;
    (void)size;
    slot->heard_s = client_clock_s();
    if (request->answer.status < 200 || request->answer.status > 299) return n; /* the page of an error is not read */
    slot->failure = request->hooks->receive(request, bytes, n, &slot->err);
    slot->has_received = slot->has_received || (slot->failure == TERN_OK && n > 0);
    return slot->failure == TERN_OK ? n : 0;
}

/* Set up and hand to curl: the request at slot->url, or at its own. */
static tern_status begin_transfer(tern_hub_slot *slot, tern_error *err) {
    tern_hub_client *client = slot->client;
    const tern_curl *curl = &client->curl;
    tern_hub_request *request = slot->request;
    const char *url = slot->url ? slot->url : request->url;
    CURL *handle = slot->handle;
    char range[32];
    request->answer = (tern_hub_answer){0};
    slot->failure = TERN_OK;
    slot->curl_message[0] = '\0';
    slot->heard_s = client_clock_s();
    curl->easy_reset(handle);
    bool is_set = curl->easy_setopt(handle, CURLOPT_URL, url) == CURLE_OK;
    is_set = is_set && curl->easy_setopt(handle, CURLOPT_USERAGENT, user_agent) == CURLE_OK;
    is_set = is_set && curl->easy_setopt(handle, CURLOPT_NOBODY, (long)request->is_head) == CURLE_OK;
    snprintf(range, sizeof range, "%lld-", (long long)request->from);
    if (request->from > 0) is_set = is_set && curl->easy_setopt(handle, CURLOPT_RANGE, range) == CURLE_OK;
    struct curl_slist *headers = has_same_origin(url, client->endpoint) ? client->headers_with_token : client->headers;
    curl->easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl->easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl->easy_setopt(handle, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl->easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, (long)request->timeout_s);
    curl->easy_setopt(handle, CURLOPT_BUFFERSIZE, 1L << 18);
    curl->easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
    curl->easy_setopt(handle, CURLOPT_HEADERDATA, slot);
    curl->easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    curl->easy_setopt(handle, CURLOPT_WRITEDATA, slot);
    curl->easy_setopt(handle, CURLOPT_ERRORBUFFER, slot->curl_message);
    if (!is_set) return TERN_FAIL(err, TERN_E_MEMORY, "out of memory for a request");
    CURLMcode code = curl->multi_add_handle(client->multi, handle);
    return code == CURLM_OK ? TERN_OK : TERN_FAIL(err, TERN_E_MEMORY, "libcurl cannot start a request: %s", curl->multi_strerror(code));
}

static void free_slot(tern_hub_slot *slot) {
    slot->request->hooks->stop(slot->request);
    slot->request = NULL;
    free(slot->url);
    slot->url = NULL;
}

/* Give a queued request its turn in an idle slot. */
static tern_status start_request(tern_hub_slot *slot, tern_hub_request *request, tern_error *err) {
    tern_hub_step step = TERN_HUB_GO;
    request->from = 0;
    request->may_retry = false;
    tern_status status = request->hooks->start(request, &step, err);
    if (status != TERN_OK || step != TERN_HUB_GO) {
        request->hooks->stop(request);
        if (step == TERN_HUB_DONE) request->state = TERN_HUB_FINISHED;
        request->wake_s = client_clock_s() + 0.1;
        return status;
    }
    request->state = TERN_HUB_RUNNING;
    request->n_attempts++;
    slot->request = request;
    slot->n_redirects = 0;
    slot->has_received = false;
    status = begin_transfer(slot, err);
    if (status != TERN_OK) free_slot(slot);
    return status;
}

/* ---- The end of a transfer ---- */

static bool is_passing_code(CURLcode code) {
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

/* Queue the request of a slot again, or give up with the message that is in slot->err. */
static tern_status retry_request(tern_hub_slot *slot, int64_t retry_after_s, tern_error *err) {
    tern_hub_client *client = slot->client;
    tern_hub_request *request = slot->request;
    tern_status status = slot->err.code;
    unsigned allowed = client->has_answered || client->max_failures < 3 ? client->max_failures : 3; /* nobody is there at all */
    request->n_failures = slot->has_received ? 1 : request->n_failures + 1;
    bool is_too_long = retry_after_s > MAX_RETRY_AFTER_S;
    if (request->n_failures >= allowed || request->n_attempts >= MAX_ATTEMPTS || is_too_long) {
        if (is_too_long) TERN_FAIL(err, status, "%s; it asks to wait %lld seconds", slot->err.message, (long long)retry_after_s);
        else TERN_FAIL(err, status, "%s (%u attempts)", slot->err.message, request->n_attempts);
        client->is_unreachable = status == TERN_E_IO;
        free_slot(slot);
        return status;
    }
    double wait_s = 0.2;
    for (unsigned i = 1; i < request->n_failures && wait_s < 10; i++) wait_s *= 4;
    if (wait_s > 10) wait_s = 10;
    if (retry_after_s >= 0) wait_s = (double)retry_after_s;
    request->wake_s = client_clock_s() + wait_s;
    request->state = TERN_HUB_QUEUED;
    free_slot(slot);
    return TERN_OK;
}

static tern_status end_slot(tern_hub_slot *slot, tern_error *err) {
    tern_status status = slot->err.code;
    if (err) *err = slot->err;
    free_slot(slot);
    return status;
}

static const char *what_is_asked(const tern_hub_request *request) {
    return request->question.path ? request->question.path : "the list of files";
}

/* Who was asked, for a message: a redirect's target is outside text. */
static tern_hub_cleaned slot_origin(const tern_hub_slot *slot) {
    const char *url = slot->url ? slot->url : slot->request->url;
    return tern__hub_clean(url, origin_bytes(url));
}

/* What curl could not do. */
static tern_status settle_curl_failure(tern_hub_slot *slot, CURLcode code, tern_error *err) {
    const tern_curl *curl = &slot->client->curl;
    const tern_hub_request *request = slot->request;
    const char *reason = slot->curl_message[0] ? slot->curl_message : curl->easy_strerror(code), *repo_id = request->question.repo_id;
    tern_hub_cleaned why = tern__hub_clean(reason, strlen(reason)), where = slot_origin(slot);
    if (code == CURLE_OUT_OF_MEMORY) TERN_FAIL(&slot->err, TERN_E_MEMORY, "out of memory in libcurl");
    else if (request->answer.status == 0) TERN_FAIL(&slot->err, TERN_E_IO, "%s: %s cannot be reached: %s", repo_id, where.text, why.text);
    else TERN_FAIL(&slot->err, TERN_E_IO, "%s: %s: the answer of %s was cut: %s", repo_id, what_is_asked(request), where.text, why.text);
    if (is_passing_code(code)) return retry_request(slot, -1, err);
    slot->client->is_unreachable = request->answer.status == 0 && code != CURLE_OUT_OF_MEMORY;
    return end_slot(slot, err);
}

/* On to where the answer points. */
static tern_status redirect_slot(tern_hub_slot *slot, const char *target, tern_error *err) {
    const char *from = slot->url ? slot->url : slot->request->url;
    const char *problem = NULL;
    if (origin_bytes(target) == 0) problem = "to what is not a URL of the web";
    else if (is_downgrade(from, target)) problem = "from https to http";
    else if (++slot->n_redirects > MAX_REDIRECTS) problem = "without end";
    char *copy = problem ? NULL : strdup(target);
    if (!copy) {
        if (problem)
            TERN_FAIL(&slot->err, TERN_E_FORMAT, "%s: %s redirects %s: \"%s\"", slot->request->question.repo_id, slot->client->endpoint,
                      problem, tern__hub_clean(target, strlen(target)).text);
        else TERN_FAIL_MEMORY(&slot->err, strlen(target) + 1);
        return end_slot(slot, err);
    }
    free(slot->url);
    slot->url = copy;
    tern_status status = begin_transfer(slot, &slot->err);
    return status == TERN_OK ? TERN_OK : end_slot(slot, err);
}

/* A hook failed: its message is in slot->err. */
static tern_status settle_hook_failure(tern_hub_slot *slot, tern_error *err) {
    return slot->request->may_retry ? retry_request(slot, -1, err) : end_slot(slot, err);
}

/* curl is through with a transfer. */
static tern_status settle_slot(tern_hub_slot *slot, CURLcode code, tern_error *err) {
    tern_hub_request *request = slot->request;
    const tern_hub_answer *answer = &request->answer;
    char *target = NULL;
    slot->client->curl.easy_getinfo(slot->handle, CURLINFO_REDIRECT_URL, &target);
    slot->client->curl.multi_remove_handle(slot->client->multi, slot->handle);
    if (slot->failure != TERN_OK) return settle_hook_failure(slot, err);
    if (code != CURLE_OK) return settle_curl_failure(slot, code, err);
    bool is_redirect = answer->status >= 300 && answer->status <= 399 && target;
    if (is_redirect && !(request->is_head && answer->has_linked_etag)) return redirect_slot(slot, target, err);
    if (is_redirect || (answer->status >= 200 && answer->status <= 299)) {
        slot->failure = request->hooks->finish(request, &slot->err);
        if (slot->failure != TERN_OK) return settle_hook_failure(slot, err);
        request->state = TERN_HUB_FINISHED;
        free_slot(slot);
        return TERN_OK;
    }
    const char *url = slot->url ? slot->url : request->url;
    if (has_same_origin(url, slot->client->endpoint)) tern__hub_answer_fail(answer, &request->question, &slot->err);
    else
        TERN_FAIL(&slot->err, TERN_E_IO, "%s: %s: the storage %s answers with status %d", request->question.repo_id, what_is_asked(request),
                  slot_origin(slot).text, answer->status);
    bool is_past_end = answer->status == 416 && request->from > 0; /* what is kept of an earlier attempt is not the file's beginning */
    if (is_past_end || tern__hub_answer_is_passing(answer)) return retry_request(slot, answer->retry_after_s, err);
    return end_slot(slot, err);
}

/* ---- The loop ---- */

static tern_status start_queued(tern_hub_client *client, char *requests, size_t stride, size_t n, tern_error *err) {
    double now_s = client_clock_s();
    size_t s = 0;
    for (size_t i = 0; i < n; i++) {
        tern_hub_request *request = (tern_hub_request *)(void *)(requests + i * stride);
        while (s < TERN_HUB_SLOTS && client->slots[s].request) s++;
        if (s == TERN_HUB_SLOTS) break;
        if (request->state == TERN_HUB_QUEUED && request->wake_s <= now_s) TERN_TRY(start_request(&client->slots[s], request, err));
    }
    return TERN_OK;
}

static tern_status settle_finished(tern_hub_client *client, tern_error *err) {
    const CURLMsg *message;
    for (int n_left; (message = client->curl.multi_info_read(client->multi, &n_left));) {
        CURL *handle = message->easy_handle;
        CURLcode code = message->data.result;
        for (size_t i = 0; message->msg == CURLMSG_DONE && i < TERN_HUB_SLOTS; i++) {
            if (client->slots[i].handle != handle) continue;
            TERN_TRY(settle_slot(&client->slots[i], code, err));
            break;
        }
    }
    double now_s = client_clock_s();
    for (size_t i = 0; i < TERN_HUB_SLOTS; i++) {
        tern_hub_slot *slot = &client->slots[i];
        if (!slot->request || now_s - slot->heard_s < slot->request->timeout_s) continue;
        client->curl.multi_remove_handle(client->multi, slot->handle);
        TERN_FAIL(&slot->err, TERN_E_IO, "%s: %s has been silent for %d seconds", slot->request->question.repo_id, client->endpoint,
                  slot->request->timeout_s);
        TERN_TRY(retry_request(slot, -1, err));
    }
    return TERN_OK;
}

static tern_status show_progress(tern_hub_client *client, bool is_last, tern_error *err) {
    const tern_hub_options *options = client->options;
    double now_s = client_clock_s();
    if (!options->progress || (!is_last && now_s - client->shown_s < 0.1)) return TERN_OK;
    client->shown_s = now_s;
    if (options->progress(options->user, &client->progress)) return TERN_OK;
    return TERN_FAIL(err, TERN_E_CANCELLED, "stopped by the caller");
}

static bool all_finished(const char *requests, size_t stride, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (((const tern_hub_request *)(const void *)(requests + i * stride))->state != TERN_HUB_FINISHED) return false;
    return true;
}

static tern_status run_loop(tern_hub_client *client, char *requests, size_t stride, size_t n, tern_error *err) {
    while (!all_finished(requests, stride, n)) {
        int n_running;
        TERN_TRY(start_queued(client, requests, stride, n, err));
        CURLMcode code = client->curl.multi_perform(client->multi, &n_running);
        if (code == CURLM_OK) TERN_TRY(settle_finished(client, err));
        TERN_TRY(show_progress(client, false, err));
        if (code == CURLM_OK) code = client->curl.multi_poll(client->multi, NULL, 0, 50, NULL);
        if (code != CURLM_OK)
            return TERN_FAIL(err, code == CURLM_OUT_OF_MEMORY ? TERN_E_MEMORY : TERN_E_IO, "libcurl: %s",
                             client->curl.multi_strerror(code));
    }
    return show_progress(client, true, err);
}

/* A TLS library may write to a connection that the server has closed; the host program's handling of SIGPIPE is not ours to change, so the
 * signal is held back from this thread and one that came is taken away. */
tern_status tern__hub_client_run(tern_hub_client *client, void *requests, size_t stride, size_t n, tern_error *err) {
    sigset_t pipe_signal, before, pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    client->is_unreachable = false;
    tern_status status = run_loop(client, requests, stride, n, err);
    for (size_t i = 0; i < TERN_HUB_SLOTS; i++) { /* of a run that failed */
        if (!client->slots[i].request) continue;
        client->curl.multi_remove_handle(client->multi, client->slots[i].handle);
        free_slot(&client->slots[i]);
    }
    sigpending(&pending);
    if (!was_pending && sigismember(&pending, SIGPIPE) == 1) {
        int number;
        sigwait(&pipe_signal, &number);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}
