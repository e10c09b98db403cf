/* unit_hub_answer.c - headers of a hub's answers, what its refusals say, and its lists of files.
 * SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include "hub/answer.h"
#include "hub/listing.h"

#define COMMIT  "0123456789abcdef0123456789abcdef01234567"
#define SHA_1   "ce013625030ba8dba906f756967f9e9ca394464a"
#define SHA_256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
enum { NOW = 784111777 }; /* Sun, 06 Nov 1994 08:49:37 GMT */

/* Lines of an answer, each ending in a line feed. */
static tern_hub_answer answer_of(const char *lines) {
    tern_hub_answer answer = {0};
    tern__hub_answer_line(&answer, "HTTP/1.1 200 OK\r\n", 17, NOW);
    for (const char *end; (end = strchr(lines, '\n')); lines = end + 1)
        tern__hub_answer_line(&answer, lines, (size_t)(end + 1 - lines), NOW);
    return answer;
}

static void test_headers(void **state) {
    (void)state;
    tern_hub_answer answer = answer_of("etag: W/\"" SHA_1 "\"\r\nContent-Length: 123\r\nX-Linked-Size: 45\r\nX-Error-Code: GatedRepo\r\n"
                                       "X-Error-Message:  no\x1b \r\n\r\n");
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.etag, SHA_1);
    assert_false(answer.has_linked_etag);
    assert_int_equal(answer.content_bytes, 123);
    assert_int_equal(answer.linked_bytes, 45);
    assert_string_equal(answer.error_code.text, "GatedRepo");
    assert_string_equal(answer.error_message.text, "no?");
    assert_int_equal(answer.retry_after_s, -1);
    assert_int_equal(answer.range_start, -1);
    assert_string_equal(answer_of("X-Linked-Etag: \"" SHA_256 "\"\nETag: \"other\"\n").etag, SHA_256);
    assert_string_equal(answer_of("ETag: \"other\"\nX-LINKED-ETAG: " SHA_256 "\n").etag, SHA_256);
    static const char *const bad_etags[] = {"ETag: \"../../x\"\n", "ETag: \"\"\n", "ETag:\n", "ETag: \"a\n", "ETag: W/\n", "ETag: a b\n"};
    for (size_t i = 0; i < sizeof bad_etags / sizeof *bad_etags; i++) assert_string_equal(answer_of(bad_etags[i]).etag, "");
    assert_int_equal(answer_of("Content-Length: 12x\n").content_bytes, -1);
    assert_int_equal(answer_of("Content-Length: -1\n").content_bytes, -1);
    assert_int_equal(answer_of("Content-Length: 99999999999999999999\n").content_bytes, -1);
    assert_int_equal(answer_of("Content-Length:\n").content_bytes, -1);
    answer = answer_of("Content-Range: bytes 100-299/300\n");
    assert_int_equal(answer.range_start, 100);
    assert_int_equal(answer.range_total, 300);
    answer = answer_of("Content-Range: bytes 100-299/*\n");
    assert_int_equal(answer.range_start, 100);
    assert_int_equal(answer.range_total, -1);
    static const char *const bad_ranges[] = {"bytes */300", "bytes",     "items 1-2/3", "bytes 1",
                                             "bytes 1-",    "bytes 1-2", "bytes -2/3",  "bytes=1-2/3"};
    for (size_t i = 0; i < sizeof bad_ranges / sizeof *bad_ranges; i++) {
        char line[64];
        snprintf(line, sizeof line, "Content-Range: %s\n", bad_ranges[i]);
        assert_int_equal(answer_of(line).range_start, -1);
    }
}

static void test_status_lines(void **state) {
    static const struct {
        const char *line;
        int status;
    } cases[] = {{"HTTP/2 302 \r\n", 302}, {"HTTP/1.1 404 Not Found\r\n", 404},
                 {"HTTP/1.1\r\n", 0},      {"HTTP/1.1 99\r\n", 0},
                 {"HTTP/1.1 abc\r\n", 0},  {"HTTP/", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tern_hub_answer answer = answer_of("ETag: \"before\"\nRetry-After: 3\n");
        tern__hub_answer_line(&answer, cases[i].line, strlen(cases[i].line), NOW);
        assert_int_equal(answer.status, cases[i].status);
        assert_string_equal(answer.etag, ""); /* a new answer begins */
        assert_int_equal(answer.retry_after_s, -1);
    }
}

static void test_retry_after(void **state) {
    static const struct {
        const char *lines;
        int64_t seconds;
    } cases[] = {
        {"Retry-After: 7\n", 7},
        {"Retry-After: 0\n", 0},
        {"Retry-After: Sun, 06 Nov 1994 08:50:37 GMT\n", 60},
        {"Retry-After: Mon, 07 Nov 1994 08:49:37 GMT\n", 86400},
        {"Retry-After: Sun, 06 Nov 1994 08:49:30 GMT\n", 0},
        {"Retry-After: Wed, 06 Nov 2024 08:49:37 GMT\n", 946771200}, /* with eight leap days */
        {"Retry-After: soon\n", -1},
        {"Retry-After: -5\n", -1},
        {"Retry-After: Sun, 06 Nvo 1994 08:50:37 GMT\n", -1},
        {"Retry-After: Sun, 06 anF 1994 08:50:37 GMT\n", -1},
        {"Retry-After: Sun, 99 Nov 1994 08:50:37 GMT\n", -1},
        {"Retry-After: Sun, 06 Nov 1994 08:50:37 GMT and a long tail\n", -1},
        {"RateLimit: \"api\";r=0;t=55\n", 55},
        {"RateLimit: \"api\";r=0;t=\n", -1},
        {"RateLimit: t=5\n", -1},
        {"Retry-After: 7\nRateLimit: \"api\";r=0;t=55\n", 7},
        {"RateLimit: \"api\";r=0;t=55\nRetry-After: 7\n", 7},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (answer_of(cases[i].lines).retry_after_s != cases[i].seconds)
            fail_msg("%s: %lld", cases[i].lines, (long long)answer_of(cases[i].lines).retry_after_s);
}

static void check_refusal(int status, const char *lines, const char *path, bool has_token, const char *part) {
    const tern_hub_question question = {
        .endpoint = "https://hub", .repo_id = "org/name", .revision = "v1", .path = path, .has_token = has_token};
    tern_hub_answer answer = answer_of(lines);
    tern_error err;
    answer.status = status;
    check_failed(tern__hub_answer_fail(&answer, &question, &err), TERN_E_IO, &err, part);
    assert_non_null(strstr(err.message, "org/name"));
}

static void test_refusals(void **state) {
    (void)state;
    check_refusal(401, "", NULL, false, "set HF_TOKEN");
    check_refusal(401, "", NULL, true, "the token of HF_TOKEN does not open it");
    check_refusal(404, "X-Error-Code: RepoNotFound\n", NULL, false, "no such repository at https://hub");
    check_refusal(404, "", NULL, false, "no such repository");
    check_refusal(403, "X-Error-Code: GatedRepo\n", NULL, false, "accept its terms at https://hub/org/name, make a token");
    check_refusal(403, "X-Error-Code: GatedRepo\n", "f", true, "accept its terms at https://hub/org/name, with the account of HF_TOKEN");
    check_refusal(404, "X-Error-Code: RevisionNotFound\n", NULL, false, "has no revision \"v1\"");
    check_refusal(404, "X-Error-Code: EntryNotFound\nX-Error-Message: gone\n", "a/f", false,
                  "has no file a/f at revision \"v1\" (the hub says: gone)");
    check_refusal(403, "", "f", false, "refuses access (403)");
    check_refusal(429, "", NULL, false, "too many requests");
    check_refusal(503, "", "f", false, "status 503 for f");
    check_refusal(418, "", NULL, false, "status 418 for the list of files");
    for (int status = 100; status < 600; status++) {
        const tern_hub_answer answer = {.status = status};
        bool is_passing = status == 408 || status == 429 || status == 500 || (status >= 502 && status <= 504);
        assert_int_equal(tern__hub_answer_is_passing(&answer), is_passing);
    }
}

static tern_status parse(tern_hub_listing *out, const char *text, tern_error *err) {
    return tern__hub_listing_parse(out, text, strlen(text), "answer", err);
}

static void test_listing(void **state) {
    (void)state;
    tern_hub_listing listing;
    tern_error err;
    assert_int_equal(parse(&listing,
                           "{\"sha\": \"" COMMIT "\", \"other\": [1], \"siblings\": ["
                           "{\"rfilename\": \"b.json\", \"size\": 7, \"blobId\": \"" SHA_1 "\"},"
                           "{\"rfilename\": \"a/m.bin\", \"size\": 9, \"blobId\": \"" SHA_1 "\", \"lfs\": {\"sha256\": \"" SHA_256
                           "\", \"size\": 9}},"
                           "{\"rfilename\": \"c\"}, {\"rfilename\": \"d\", \"size\": 1.5, \"blobId\": \"" SHA_1 "\", \"lfs\": null}]}",
                           &err),
                     TERN_OK);
    assert_string_equal(listing.commit, COMMIT);
    assert_int_equal(listing.n_files, 4);
    assert_string_equal(listing.files[0].path, "a/m.bin");
    assert_string_equal(listing.files[0].etag, SHA_256);
    assert_int_equal(listing.files[0].n_bytes, 9);
    assert_string_equal(tern__hub_listing_find(&listing, "b.json")->etag, SHA_1);
    assert_int_equal(tern__hub_listing_find(&listing, "b.json")->n_bytes, 7);
    assert_null(tern__hub_listing_find(&listing, "c")->etag);
    assert_null(tern__hub_listing_find(&listing, "d")->etag);
    assert_null(tern__hub_listing_find(&listing, "e"));
    tern__hub_listing_free(&listing);
    assert_int_equal(parse(&listing, "{\"sha\": \"" COMMIT "\", \"siblings\": []}", &err), TERN_OK);
    assert_null(tern__hub_listing_find(&listing, "a"));
    tern__hub_listing_free(&listing);
    check_failed(parse(&listing, "{\"sha\": \"" COMMIT "\", \"siblings\": [{\"rfilename\": \"../a\"}]}", &err), TERN_E_FORMAT, &err,
                 "\"../a\"");
    check_failed(parse(&listing, "{\"sha\": \"" COMMIT "\", \"siblings\": [{\"rfilename\": \"a\\u0000b\"}]}", &err), TERN_E_FORMAT, &err,
                 "\"a?b\"");
    check_failed(parse(&listing, "{\"sha\": \"" COMMIT "\\u0000\", \"siblings\": []}", &err), TERN_E_FORMAT, &err, "sha");
    check_failed(parse(&listing, "{\"sha\": \"" COMMIT "\", \"siblings\": [{\"rfilename\": \"a\"}, {\"rfilename\": \"a\"}]}", &err),
                 TERN_E_FORMAT, &err, "twice");
    assert_null(listing.files);
    static const char tree[] = "{\"format_version\": 1, \"files\": {\"x\": {\"size\": 1, \"blob_id\": \"" SHA_1 "\"},"
                               "\"m\": {\"size\": 2, \"blob_id\": \"" SHA_1 "\", \"lfs_sha256\": \"" SHA_256 "\", \"lfs_size\": 2}}}";
    assert_int_equal(tern__hub_listing_parse_tree(&listing, tree, sizeof tree - 1, "tree", &err), TERN_OK);
    assert_string_equal(tern__hub_listing_find(&listing, "m")->etag, SHA_256);
    assert_string_equal(tern__hub_listing_find(&listing, "x")->etag, SHA_1);
    assert_string_equal(listing.commit, "");
    tern__hub_listing_free(&listing);
    static const char later[] = "{\"format_version\": 2, \"files\": {}}";
    check_failed(tern__hub_listing_parse_tree(&listing, later, sizeof later - 1, "tree", &err), TERN_E_FORMAT, &err, "format 1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),  cmocka_unit_test(test_status_lines), cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_listing),
    };
    return cmocka_run_group_tests_name("hub answers", tests, NULL, NULL);
}
