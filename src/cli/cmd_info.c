/* cmd_info.c - tern info: this build and this machine; what a checkpoint is, what memory it needs, what became of each weight.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "model_folder.h"
#include "output.h"

#define UNCUT_TOKENS 512 /* of a model that does not cut texts */

typedef struct info_command {
    const char *name; /* the MODEL argument; NULL: no model */
    char *folder;     /* where it is */
    int is_json, with_weights;
    int64_t batch, tokens; /* 0: not given, so 1 and the model's max_seq_length */
    tern_cli_run run;
    tern_device_info *devices;
    size_t n_devices;
    tern_load_report report; /* empty unless with_weights */
    tern_model *model;       /* NULL: none, or it did not load */
    tern_memory_plan plan;
} info_command;

enum { N_WEIGHT_STATES = TERN_WEIGHT_MISSHAPEN + 1 };

static void count_states(size_t counts[N_WEIGHT_STATES], const tern_load_report *report) {
    memset(counts, 0, N_WEIGHT_STATES * sizeof *counts);
    for (size_t i = 0; i < report->n_entries; i++) counts[report->entries[i].state]++;
}

/* ---- JSON ---- */

static void json_key_string(const char *key, const char *value) {
    printf("\"%s\":", key);
    if (value != NULL) tern__cli_json_string(value, strlen(value));
    else fputs("null", stdout);
}

static void json_shape(const char *key, const int64_t *shape, int rank) {
    printf(",\"%s\":[", key);
    for (int i = 0; i < rank; i++) printf("%s%" PRId64, i > 0 ? "," : "", shape[i]);
    putchar(']');
}

static void json_devices(const info_command *command) {
    fputs(",\"devices\":[", stdout);
    for (size_t i = 0; i < command->n_devices; i++) {
        const tern_device_info *device = &command->devices[i];
        fputs(i > 0 ? ",{" : "{", stdout);
        json_key_string("name", device->name);
        printf(",\"present\":%s,", device->is_present ? "true" : "false");
        json_key_string(device->is_present ? "description" : "reason", device->is_present ? device->description : device->reason);
        if (device->is_present) {
            putchar(',');
            json_key_string("isa", device->isa);
            printf(",\"threads\":%d", device->threads);
        }
        putchar('}');
    }
    putchar(']');
}

static void json_prompts(const tern_model *model) {
    fputs("\"prompts\":{", stdout);
    const char *name;
    for (size_t i = 0; (name = tern_model_prompt_name(model, i)) != NULL; i++) {
        if (i > 0) putchar(',');
        const char *text = tern_model_prompt(model, name);
        tern__cli_json_string(name, strlen(name));
        putchar(':');
        tern__cli_json_string(text, strlen(text));
    }
    fputs("},", stdout);
}

static void json_model(const info_command *command) {
    const tern_model_info info = tern_model_get_info(command->model);
    putchar(',');
    json_key_string("model_type", info.model_type);
    putchar(',');
    json_key_string("architecture", info.architecture);
    fputs(",\"tasks\":[", stdout);
    for (size_t i = 0; info.tasks[i] != NULL; i++) {
        if (i > 0) putchar(',');
        tern__cli_json_string(info.tasks[i], strlen(info.tasks[i]));
    }
    printf("],\"n_parameters\":%" PRId64 ",", info.n_parameters);
    json_key_string("checkpoint_dtype", tern_dtype_name(info.checkpoint_dtype));
    printf(",\"checkpoint_bytes\":%" PRId64 ",\"hidden_size\":%" PRId64 ",\"num_hidden_layers\":%" PRId64 ",\"vocab_size\":%" PRId64
           ",\"max_position_embeddings\":%" PRId64 ",\"max_seq_length\":%" PRId64 ",",
           info.checkpoint_bytes, info.hidden_size, info.num_hidden_layers, info.vocab_size, info.max_position_embeddings,
           info.max_seq_length);
    json_key_string("pooling", info.pooling);
    printf(",\"normalize\":%s,\"is_sentence_transformer\":%s,", info.normalize ? "true" : "false",
           info.is_sentence_transformer ? "true" : "false");
    fputs("\"labels\":[", stdout);
    for (int64_t i = 0; i < info.n_labels; i++) {
        const char *label = tern_model_label(command->model, i);
        if (i > 0) putchar(',');
        tern__cli_json_string(label, strlen(label));
    }
    fputs("],", stdout);
    json_prompts(command->model);
    json_key_string("default_prompt_name", info.default_prompt_name);
    putchar(',');
    json_key_string("similarity_fn_name", info.similarity_fn_name);
    putchar(',');
    json_key_string("device", info.device);
    putchar(',');
    json_key_string("isa", info.isa);
    putchar(',');
    json_key_string("dtype", info.dtype);
    printf(",\"threads\":%d", info.threads);
    printf(",\"memory\":{\"batch\":%" PRId64 ",\"tokens\":%" PRId64 ",\"mapped_bytes\":%" PRId64 ",\"packed_bytes\":%" PRId64
           ",\"workspace_bytes\":%" PRId64 "}",
           command->batch, command->tokens, command->plan.mapped_bytes, command->plan.packed_bytes, command->plan.workspace_bytes);
}

static void json_weights(const tern_load_report *report) {
    fputs(",\"weights\":[", stdout);
    for (size_t i = 0; i < report->n_entries; i++) {
        const tern_weight_entry *entry = &report->entries[i];
        fputs(i > 0 ? ",{" : "{", stdout);
        json_key_string("state", tern_weight_state_name(entry->state));
        putchar(',');
        json_key_string("name", entry->name);
        putchar(',');
        json_key_string("checkpoint_name", entry->checkpoint_name);
        json_shape("expected_shape", entry->expected_shape, entry->expected_rank);
        if (entry->checkpoint_name != NULL) {
            json_shape("found_shape", entry->found_shape, entry->found_rank);
            putchar(',');
            json_key_string("found_dtype", tern_dtype_name(entry->found_dtype));
        } else {
            fputs(",\"found_shape\":null,\"found_dtype\":null", stdout);
        }
        putchar('}');
    }
    size_t counts[N_WEIGHT_STATES];
    count_states(counts, report);
    fputs("],\"weight_counts\":{", stdout);
    for (int s = 0; s < N_WEIGHT_STATES; s++)
        printf("%s\"%s\":%zu", s > 0 ? "," : "", tern_weight_state_name((tern_weight_state)s), counts[s]);
    putchar('}');
}

static void print_info_json(const info_command *command) {
    putchar('{');
    json_key_string("version", tern_version());
    json_devices(command);
    if (command->name != NULL) {
        putchar(',');
        json_key_string("model", command->name);
        putchar(',');
        json_key_string("folder", command->folder);
    }
    if (command->model != NULL) json_model(command);
    if (command->with_weights) json_weights(&command->report);
    fputs("}\n", stdout);
}

/* ---- For people ---- */

enum { LABEL = 24 };

static void print_text(const char *label, const char *value) { printf("  %-*s %s\n", LABEL, label, value); }

static void print_count(const char *label, int64_t value) { printf("  %-*s %" PRId64 "\n", LABEL, label, value); }

static void print_bytes(const char *label, int64_t bytes) {
    printf("  %-*s %.1f MB (%" PRId64 " bytes)\n", LABEL, label, 1e-6 * (double)bytes, bytes);
}

static void print_devices(const info_command *command) {
    fputs("devices\n", stdout);
    for (size_t i = 0; i < command->n_devices; i++) {
        const tern_device_info *device = &command->devices[i];
        printf("  %-*s %s: %s\n", LABEL, device->name, device->is_present ? "present" : "absent",
               device->is_present ? device->description : device->reason);
    }
}

/* Those that are not empty. */
static void print_prompts(const tern_model *model, const char *default_name) {
    const char *name;
    for (size_t i = 0; (name = tern_model_prompt_name(model, i)) != NULL; i++) {
        const char *text = tern_model_prompt(model, name);
        if (text[0] == '\0') continue;
        printf("  %-*s %s%s: ", LABEL, "prompt", name, default_name != NULL && strcmp(name, default_name) == 0 ? " (default)" : "");
        tern__cli_print_snippet(text, strlen(text), 60, false);
        putchar('\n');
    }
}

static void print_model(const info_command *command) {
    const tern_model_info info = tern_model_get_info(command->model);
    print_text("model_type", info.model_type);
    print_text("architecture", info.architecture);
    for (size_t i = 0; info.tasks[i] != NULL; i++) print_text(i == 0 ? "tasks" : "", info.tasks[i]);
    print_count("parameters", info.n_parameters);
    print_text("checkpoint dtype", tern_dtype_name(info.checkpoint_dtype));
    print_bytes("checkpoint files", info.checkpoint_bytes);
    print_count("hidden_size", info.hidden_size);
    print_count("num_hidden_layers", info.num_hidden_layers);
    print_count("vocab_size", info.vocab_size);
    print_count("max_position_embeddings", info.max_position_embeddings);
    print_count("max_seq_length", info.max_seq_length);
    print_text("pooling", info.pooling);
    print_text("normalize", info.normalize ? "yes" : "no");
    print_text("sentence-transformers", info.is_sentence_transformer ? "yes" : "no");
    for (int64_t i = 0; i < info.n_labels; i++) print_text(i == 0 ? "labels" : "", tern_model_label(command->model, i));
    print_prompts(command->model, info.default_prompt_name);
    if (info.similarity_fn_name != NULL) print_text("similarity", info.similarity_fn_name);
    print_text("device", info.device);
    print_text("ISA", info.isa);
    print_text("dtype", info.dtype);
    print_count("threads", info.threads);
    printf("memory of a batch of %" PRId64 " x %" PRId64 " tokens\n", command->batch, command->tokens);
    print_bytes("mapped files", command->plan.mapped_bytes);
    print_bytes("packed weights", command->plan.packed_bytes);
    print_bytes("workspace", command->plan.workspace_bytes);
}

static void print_shape(const int64_t *shape, int rank) {
    putchar('[');
    for (int i = 0; i < rank; i++) printf("%s%" PRId64, i > 0 ? ", " : "", shape[i]);
    putchar(']');
}

static void print_weights(const tern_load_report *report) {
    size_t counts[N_WEIGHT_STATES];
    count_states(counts, report);
    fputs("weights:", stdout);
    for (int s = 0; s < N_WEIGHT_STATES; s++)
        printf("%s %zu %s", s > 0 ? "," : "", counts[s], tern_weight_state_name((tern_weight_state)s));
    putchar('\n');
    for (size_t i = 0; i < report->n_entries; i++) {
        const tern_weight_entry *entry = &report->entries[i];
        const bool is_found = entry->checkpoint_name != NULL;
        printf("  %-10s  %-4s  %s ", tern_weight_state_name(entry->state), is_found ? tern_dtype_name(entry->found_dtype) : "-",
               entry->name);
        if (is_found) print_shape(entry->found_shape, entry->found_rank);
        if (entry->expected_rank != 0 && entry->state != TERN_WEIGHT_USED) {
            fputs(is_found ? ", expected " : "expected ", stdout);
            print_shape(entry->expected_shape, entry->expected_rank);
        }
        if (is_found && strcmp(entry->checkpoint_name, entry->name) != 0) printf(", in the file %s", entry->checkpoint_name);
        putchar('\n');
    }
}

static void print_info(const info_command *command) {
    printf("tern %s\n", tern_version());
    print_devices(command);
    if (command->name != NULL) printf("model %s\n", command->name);
    if (command->name != NULL && strcmp(command->name, command->folder) != 0) print_text("folder", command->folder);
    if (command->model != NULL) print_model(command);
    if (command->with_weights) print_weights(&command->report);
}

/* ---- The command ---- */

static int list_devices(info_command *command) {
    command->n_devices = tern_device_list(NULL, 0);
    command->devices = calloc(command->n_devices + 1, sizeof *command->devices);
    if (command->devices == NULL) return tern__cli_fail("out of memory");
    tern_device_list(command->devices, command->n_devices);
    return TERN_CLI_DONE;
}

/* A report of wrong weights is shown all the same: it is what one asks --weights for. The error of the load follows it. */
static int look_at_model(info_command *command) {
    tern_error err;
    const int code = tern__cli_model_folder(&command->folder, command->name, false);
    if (code != TERN_CLI_DONE) return code;
    if (command->with_weights && tern_load_report_make(&command->report, command->folder, &err) != TERN_OK)
        return tern__cli_fail("%s", err.message);
    if (tern__cli_load_folder(&command->model, command->folder, &command->run, &err) != TERN_OK) {
        if (command->with_weights) command->is_json ? print_info_json(command) : print_info(command);
        return tern__cli_fail("%s", err.message);
    }
    if (command->batch == 0) command->batch = 1;
    if (command->tokens == 0) command->tokens = tern_model_get_info(command->model).max_seq_length;
    if (command->tokens == 0) command->tokens = UNCUT_TOKENS;
    if (tern_model_plan_memory(command->model, command->batch, command->tokens, &command->plan, &err) != TERN_OK)
        return tern__cli_fail("%s", err.message);
    return TERN_CLI_DONE;
}

static int show_info(info_command *command) {
    int code = list_devices(command);
    if (code == TERN_CLI_DONE && command->name != NULL) code = look_at_model(command);
    if (code == TERN_CLI_DONE) command->is_json ? print_info_json(command) : print_info(command);
    tern_model_free(command->model);
    tern_load_report_free(&command->report);
    tern_free(command->folder);
    free(command->devices);
    return code;
}

static int run_info(int argc, char **argv) {
    info_command command = {0};
    const tern_cli_option options[] = {
        {.name = "--json", .help = "one JSON document", .flag = &command.is_json, .flag_value = 1},
        {.name = "--weights",
         .help = "every weight: used, missing, absent, unexpected, ignored or misshapen",
         .flag = &command.with_weights,
         .flag_value = 1},
        {.name = "--batch",
         .value = "N",
         .help = "sequences of the batch whose memory is planned (default 1)",
         .integer = &command.batch,
         .minimum = 1,
         .maximum = INT32_MAX},
        {.name = "--tokens",
         .value = "N",
         .help = "tokens of each of its sequences (default the model's max_seq_length)",
         .integer = &command.tokens,
         .minimum = 1,
         .maximum = INT32_MAX},
        TERN_CLI_RUN_OPTIONS(command.run),
    };
    tern_cli_args args;
    const int code = tern__cli_parse(&args, &tern__cli_info, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    if (args.n_positional > 1) return tern__cli_usage_error(&tern__cli_info, "one MODEL at most, not %zu", args.n_positional);
    command.name = args.n_positional == 1 ? args.positional[0] : NULL;
    const tern_cli_run *run = &command.run;
    if (command.name == NULL && (command.with_weights || command.batch != 0 || command.tokens != 0 || run->device != NULL ||
                                 run->dtype != NULL || run->isa != NULL || run->threads != 0))
        return tern__cli_usage_error(&tern__cli_info, "options other than --json need a MODEL");
    return show_info(&command);
}

const tern_cli_command tern__cli_info = {
    .name = "info",
    .arguments = "[MODEL] [options]",
    .summary = "this build and machine; a model, its memory, its weights",
    .description =
        "The version and the devices: present, or the reason why not. Of a model: architecture, parameters, dtype, tasks, size of its "
        "files,\n"
        "the device, ISA level and threads that run it, and the memory it needs for a batch, known before it runs. Mapped files are "
        "shared\n"
        "with other processes; packed weights and workspace are the process's own. MB are 1,000,000 bytes. With --weights a folder\n"
        "whose weights are wrong is reported in full, and the exit status is 1.",
    .examples = "  tern info\n"
                "  tern info all-MiniLM-L6-v2 --batch 32 --tokens 128\n"
                "  tern info all-MiniLM-L6-v2 --weights --json\n",
    .run = run_info,
};
