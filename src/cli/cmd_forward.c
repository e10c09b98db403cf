/* cmd_forward.c - tern forward: ids of a safetensors file in, hidden states to a safetensors file out, under Hugging Face's names.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "output.h"

/* "[2, 7]" */
typedef struct shape_text {
    char text[TERN_MAX_RANK * 22 + 3];
} shape_text;

static shape_text describe_shape(const int64_t *shape, int rank) {
    shape_text out = {"["};
    size_t n = 1;
    for (int i = 0; i < rank; i++) n += (size_t)snprintf(out.text + n, sizeof out.text - n, "%s%" PRId64, i > 0 ? ", " : "", shape[i]);
    snprintf(out.text + n, sizeof out.text - n, "]");
    return out;
}

/* ---- In ---- */

enum { INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS, N_INPUT_NAMES };
static const char *const input_names[N_INPUT_NAMES] = {"input_ids", "attention_mask", "token_type_ids"};

typedef struct forward_inputs {
    tern_forward_inputs inputs;
    int64_t *values[N_INPUT_NAMES]; /* NULL: not in the file */
} forward_inputs;

static int check_input_tensor(const char *path, const tern_tensor *tensor, const tern_tensor *ids) {
    const shape_text shape = describe_shape(tensor->shape, tensor->rank);
    if (tensor->dtype != TERN_DTYPE_I64 && tensor->dtype != TERN_DTYPE_I32)
        return tern__cli_fail("%s: tensor \"%s\" has dtype %s; it must be I64 or I32", path, tensor->name, tern_dtype_name(tensor->dtype));
    if (tensor->rank != 2)
        return tern__cli_fail("%s: tensor \"%s\" has shape %s; it must be [batch, tokens]", path, tensor->name, shape.text);
    if (tensor->shape[0] != ids->shape[0] || tensor->shape[1] != ids->shape[1])
        return tern__cli_fail("%s: tensor \"%s\" has shape %s, not that of input_ids, %s", path, tensor->name, shape.text,
                              describe_shape(ids->shape, ids->rank).text);
    return TERN_CLI_DONE;
}

/* The data of a mapped file may be unaligned. */
static int copy_integers(int64_t **out, const char *path, const tern_tensor *tensor) {
    const size_t n = (size_t)tern_tensor_elements(tensor);
    int64_t *values = calloc(n != 0 ? n : 1, sizeof *values);
    if (values == NULL) return tern__cli_fail("%s: out of memory for tensor \"%s\"", path, tensor->name);
    const char *data = tensor->data;
    if (tensor->dtype == TERN_DTYPE_I64 && n > 0) memcpy(values, data, n * sizeof *values);
    for (size_t i = 0; tensor->dtype == TERN_DTYPE_I32 && i < n; i++) {
        int32_t value;
        memcpy(&value, data + i * sizeof value, sizeof value);
        values[i] = value;
    }
    *out = values;
    return TERN_CLI_DONE;
}

static int read_tensors(forward_inputs *out, const char *path, const tern_safetensors *file) {
    const tern_tensor *ids = tern_safetensors_find(file, input_names[INPUT_IDS]);
    if (ids == NULL) return tern__cli_fail("%s: there is no tensor \"input_ids\"", path);
    if (check_input_tensor(path, ids, ids) != TERN_CLI_DONE) return TERN_CLI_FAILED;
    for (size_t t = 0; t < tern_safetensors_count(file); t++) {
        const tern_tensor *tensor = tern_safetensors_get(file, t);
        int slot = 0;
        while (slot < N_INPUT_NAMES && strcmp(tensor->name, input_names[slot]) != 0) slot++;
        if (slot == N_INPUT_NAMES)
            return tern__cli_fail("%s: tensor \"%s\" is no input; those are input_ids, attention_mask and token_type_ids", path,
                                  tensor->name);
        if (check_input_tensor(path, tensor, ids) != TERN_CLI_DONE || copy_integers(&out->values[slot], path, tensor) != TERN_CLI_DONE)
            return TERN_CLI_FAILED;
    }
    out->inputs = (tern_forward_inputs){.batch = ids->shape[0],
                                        .tokens = ids->shape[1],
                                        .input_ids = out->values[INPUT_IDS],
                                        .attention_mask = out->values[ATTENTION_MASK],
                                        .token_type_ids = out->values[TOKEN_TYPE_IDS]};
    return TERN_CLI_DONE;
}

static int read_inputs(forward_inputs *out, const char *path) {
    tern_safetensors *file;
    tern_error err;
    if (tern_safetensors_open(&file, path, &err) != TERN_OK) return tern__cli_fail("%s", err.message);
    const int code = read_tensors(out, path, file);
    tern_safetensors_close(file);
    return code;
}

/* ---- Out ---- */

typedef struct forward_outputs {
    size_t n;
    tern_tensor *tensors;
    tern_forward_output *wanted; /* the same, as tern_model_forward takes them */
} forward_outputs;

static int add_output(forward_outputs *out, const tern_model *model, const tern_forward_inputs *inputs, const char *name) {
    tern_tensor *tensor = &out->tensors[out->n];
    *tensor = (tern_tensor){.name = name, .dtype = TERN_DTYPE_F32};
    tensor->rank = tern_model_output_shape(model, name, inputs->batch, inputs->tokens, tensor->shape);
    size_t n = 1;
    for (int i = 0; i < tensor->rank; i++) {
        const size_t size = tensor->shape[i] > 0 ? (size_t)tensor->shape[i] : 0;
        if (size != 0 && n > SIZE_MAX / sizeof(float) / size) return tern__cli_fail("%s: its size overflows", name);
        n *= size;
    }
    float *data = calloc(n != 0 ? n : 1, sizeof *data);
    if (data == NULL) return tern__cli_fail("out of memory for %s %s", name, describe_shape(tensor->shape, tensor->rank).text);
    tensor->data = data;
    out->wanted[out->n++] = (tern_forward_output){.name = name, .data = data};
    return TERN_CLI_DONE;
}

static int choose_outputs(forward_outputs *out, const tern_model *model, const tern_forward_inputs *inputs, bool with_hidden_states) {
    size_t capacity = 0;
    while (tern_model_output_name(model, capacity) != NULL) capacity++;
    out->tensors = calloc(capacity, sizeof *out->tensors);
    out->wanted = calloc(capacity, sizeof *out->wanted);
    if (out->tensors == NULL || out->wanted == NULL) return tern__cli_fail("out of memory");
    for (size_t i = 0; i < capacity; i++) {
        const char *name = tern_model_output_name(model, i);
        if (!with_hidden_states && strncmp(name, "hidden_states.", strlen("hidden_states.")) == 0) continue;
        if (add_output(out, model, inputs, name) != TERN_CLI_DONE) return TERN_CLI_FAILED;
    }
    return TERN_CLI_DONE;
}

static void free_outputs(forward_outputs *outputs) {
    for (size_t i = 0; i < outputs->n; i++) free(outputs->wanted[i].data);
    free(outputs->tensors);
    free(outputs->wanted);
}

/* ---- The command ---- */

typedef struct forward_command {
    const char *inputs, *output;
    int hidden_states;
    tern_cli_run run;
} forward_command;

static int run_and_save(tern_model *model, const forward_command *command, const tern_forward_inputs *inputs) {
    forward_outputs outputs = {0};
    int code = choose_outputs(&outputs, model, inputs, command->hidden_states != 0);
    tern_error err;
    if (code == TERN_CLI_DONE && (tern_model_forward(model, inputs, outputs.wanted, outputs.n, &err) != TERN_OK ||
                                  tern_safetensors_save(command->output, outputs.tensors, outputs.n, &err) != TERN_OK))
        code = tern__cli_fail("%s", err.message);
    for (size_t i = 0; code == TERN_CLI_DONE && i < outputs.n; i++)
        printf("%s F32 %s\n", outputs.tensors[i].name, describe_shape(outputs.tensors[i].shape, outputs.tensors[i].rank).text);
    free_outputs(&outputs);
    return code;
}

static int run_forward(int argc, char **argv) {
    forward_command command = {0};
    const tern_cli_option options[] = {
        {.name = "--inputs",
         .value = "IN.safetensors",
         .help = "input_ids, and optionally attention_mask and token_type_ids; I64 or I32, [B, T]",
         .string = &command.inputs},
        {.name = "--output",
         .value = "OUT.safetensors",
         .help = "last_hidden_state [B, T, C] and, if the model has them, pooler_output [B, C] and its head's logits; F32",
         .string = &command.output},
        {.name = "--hidden-states",
         .help = "write hidden_states.0 (the embeddings) to hidden_states.L too, [B, T, C] each",
         .flag = &command.hidden_states,
         .flag_value = 1},
        TERN_CLI_RUN_OPTIONS(command.run),
    };
    tern_cli_args args;
    int code = tern__cli_parse(&args, &tern__cli_forward, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    if (args.n_positional != 1) return tern__cli_usage_error(&tern__cli_forward, "one MODEL is needed, not %zu", args.n_positional);
    if (command.inputs == NULL) return tern__cli_usage_error(&tern__cli_forward, "--inputs IN.safetensors is missing");
    if (command.output == NULL) return tern__cli_usage_error(&tern__cli_forward, "--output OUT.safetensors is missing");
    forward_inputs inputs = {0};
    tern_model *model = NULL;
    code = read_inputs(&inputs, command.inputs);
    if (code == TERN_CLI_DONE) code = tern__cli_load_model(&model, args.positional[0], &command.run);
    if (code == TERN_CLI_DONE) code = run_and_save(model, &command, &inputs.inputs);
    tern_model_free(model);
    for (int i = 0; i < N_INPUT_NAMES; i++) free(inputs.values[i]);
    return code;
}

const tern_cli_command tern__cli_forward = {
    .name = "forward",
    .arguments = "MODEL --inputs IN.safetensors --output OUT.safetensors [options]",
    .summary = "ids of a file become hidden states in a file",
    .description =
        "Runs the encoder once over a padded batch and writes its outputs under Hugging Face's names. B is the batch, T the tokens of a "
        "row,\n"
        "C the hidden_size, L the layers. Without attention_mask every token counts, without token_type_ids all are 0. Rows where the\n"
        "mask is 0 are not computed and come back as zeros. OUT appears under its name when it is complete. Prints what it wrote.",
    .examples = "  tern forward bert-base-uncased --inputs ids.safetensors --output states.safetensors\n"
                "  tern forward bert-base-uncased --inputs ids.safetensors --output states.safetensors --hidden-states --threads 1\n",
    .run = run_forward,
};
