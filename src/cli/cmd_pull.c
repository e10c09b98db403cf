/* cmd_pull.c - tern pull: a repository of the hub comes into the cache, or up to date.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "model_folder.h"
#include "output.h"

/* Cut "a,b,c" at its commas, in place. *patterns is to be freed. */
static int split_patterns(const char ***patterns, size_t *n, char *text) {
    size_t capacity = 1;
    for (const char *c = text; *c != '\0'; c++) capacity += *c == ',';
    *patterns = calloc(capacity, sizeof **patterns);
    if (*patterns == NULL) return tern__cli_fail("out of memory");
    for (char *comma; text != NULL; text = comma) {
        comma = strchr(text, ',');
        if (comma != NULL) *comma++ = '\0';
        if (text[0] != '\0') (*patterns)[(*n)++] = text;
    }
    return *n > 0 ? TERN_CLI_DONE : tern__cli_usage_error(&tern__cli_pull, "--include: no pattern is given");
}

static int print_pulled(const char *repo_id, const char *revision, const char *folder, bool is_json) {
    if (!is_json) {
        puts(folder);
        return TERN_CLI_DONE;
    }
    const char *slash = strrchr(folder, '/'), *commit = slash != NULL ? slash + 1 : folder;
    const struct {
        const char *key, *value;
    } fields[] = {{"{\"repo_id\":", repo_id}, {",\"revision\":", revision}, {",\"commit\":", commit}, {",\"folder\":", folder}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        fputs(fields[i].key, stdout);
        tern__cli_json_string(fields[i].value, strlen(fields[i].value));
    }
    puts("}");
    return TERN_CLI_DONE;
}

static int pull(const char *repo_id, const char *revision, char *include, bool is_json) {
    tern_error err;
    tern_hub_options options;
    if (tern_hub_options_from_environment(&options, &err) != TERN_OK) return tern__cli_fail("%s", err.message);
    const char **patterns = NULL;
    char *folder = NULL;
    options.revision = revision;
    options.update = true;
    int code = include != NULL ? split_patterns(&patterns, &options.n_include, include) : TERN_CLI_DONE;
    options.include = patterns;
    if (code == TERN_CLI_DONE && tern__cli_hub_pull(&folder, repo_id, &options, &err) != TERN_OK) code = tern__cli_fail("%s", err.message);
    if (code == TERN_CLI_DONE) code = print_pulled(repo_id, revision, folder, is_json);
    tern_free(folder);
    free(patterns);
    tern_hub_options_free(&options);
    return code;
}

static int run_pull(int argc, char **argv) {
    const char *revision = "main", *include = NULL;
    int is_json = 0;
    const tern_cli_option options[] = {
        {.name = "--revision", .value = "REVISION", .help = "a branch, a tag or a commit (default main)", .string = &revision},
        {.name = "--include",
         .value = "PATTERN,...",
         .help = "fetch the files that match one of these, instead of what Tern reads; * also takes /",
         .string = &include},
        {.name = "--json", .help = "one JSON document: repo_id, revision, commit, folder", .flag = &is_json, .flag_value = 1},
    };
    tern_cli_args args;
    int code = tern__cli_parse(&args, &tern__cli_pull, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    if (args.n_positional != 1) return tern__cli_usage_error(&tern__cli_pull, "one ORG/NAME is needed, not %zu", args.n_positional);
    char *patterns = include != NULL ? strdup(include) : NULL;
    if (include != NULL && patterns == NULL) return tern__cli_fail("out of memory");
    code = pull(args.positional[0], revision, patterns, is_json != 0);
    free(patterns);
    return code;
}

const tern_cli_command tern__cli_pull = {
    .name = "pull",
    .arguments = "ORG/NAME [options]",
    .summary = "a model of the hub comes into the cache",
    .description =
        "Downloads what Tern reads of a repository (configs, tokenizer, sentence-transformers modules, safetensors, or else\n"
        "pytorch_model.bin) into the cache that Hugging Face's Python libraries use too, and prints the folder. Files that are there are\n"
        "not downloaded again; an interrupted download is continued; two processes share the work. Every command that takes MODEL\n"
        "pulls by itself what is not cached; pull also asks whether the revision has moved. When the hub cannot be reached, what is\n"
        "cached is taken. A pattern is a shell's, with *, ? and [...]; files whose names match one of them are fetched.\n"
        "Environment: HF_HUB_CACHE, HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and others (man tern); proxies as curl takes them.",
    .examples = "  tern pull sentence-transformers/all-MiniLM-L6-v2\n"
                "  tern pull bert-base-uncased --revision main --json\n"
                "  tern pull bert-base-uncased --include '*.json,vocab.txt'\n",
    .run = run_pull,
};
