/* scaling.h - how latency grows with the batch and with the length of texts.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BENCH_SCALING_H
#define TERN_BENCH_SCALING_H

#include <jansson.h>

#include "bench/bench.h"

/* For each number of characters the exponent of the batch, and for each batch that of the tokens of a text: rows of kind "scaling", where
 * at least three measured rows of a block have different values. `common`: what all rows of the block share. */
void tern__scaling_write(tern_bench_sink *sink, const json_t *rows, const json_t *common);

/* Such a row in words: "latency grows as the batch to the power of 0.97 at 50 characters (r2 0.999)". */
void tern__scaling_say(char *out, size_t capacity, const json_t *row);

#endif
