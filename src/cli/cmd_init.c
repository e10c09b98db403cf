/* cmd_init.c - tern init: a checkpoint folder with random weights for a config.json.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "args.h"
#include "output.h"

static int run_init(int argc, char **argv) {
    int64_t seed = 0;
    const char *output = NULL;
    const tern_cli_option options[] = {
        {.name = "--seed", .value = "N", .help = "seed of the random weights (default 0)", .integer = &seed, .maximum = INT64_MAX},
        {.name = "--output",
         .value = "FOLDER",
         .help = "where the checkpoint goes; made when it is not there, refused when it holds one",
         .string = &output},
    };
    tern_cli_args args;
    const int code = tern__cli_parse(&args, &tern__cli_init, options, sizeof options / sizeof *options, argc, argv);
    if (code != TERN_CLI_GO_ON) return code;
    if (args.n_positional != 1) return tern__cli_usage_error(&tern__cli_init, "one CONFIG is needed, not %zu", args.n_positional);
    if (output == NULL) return tern__cli_usage_error(&tern__cli_init, "--output FOLDER is missing");
    tern_error err;
    if (tern_checkpoint_init(args.positional[0], (uint64_t)seed, output, &err) != TERN_OK) return tern__cli_fail("%s", err.message);
    printf("%s: a checkpoint for %s with random weights of seed %" PRId64 "\n", output, args.positional[0], seed);
    return TERN_CLI_DONE;
}

const tern_cli_command tern__cli_init = {
    .name = "init",
    .arguments = "CONFIG --output FOLDER [options]",
    .summary = "a checkpoint with random weights for a config",
    .description =
        "CONFIG is the path of a config.json, or the name of a built-in one: bert-base-uncased, bert-large-uncased, roberta-base,\n"
        "xlm-roberta-base, distilbert-base-uncased, albert-base-v2, sentence-transformers/all-MiniLM-L6-v2 (its encoder),\n"
        "google/electra-base-discriminator, microsoft/mpnet-base, microsoft/deberta-v3-base, answerdotai/ModernBERT-base.\n"
        "Writes config.json, model.safetensors in F32 and a tokenizer, the weights drawn as Hugging Face initialises them. The same bytes "
        "for\n"
        "the same seed on any machine, so that speed can be measured where no hub is reachable. The tokenizer is of the model's kind and "
        "has\n"
        "vocab_size tokens, but of strings of letters in alphabetical order. The vectors mean nothing.",
    .examples = "  tern init bert-base-uncased --seed 1 --output random-bert\n"
                "  tern init some-model/config.json --output random\n"
                "  tern embed random-bert 'any text'\n",
    .run = run_init,
};
