/* table.h - rows for people: a header where the model, the device or the kind of measurement changes, and a line each.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_BENCH_TABLE_H
#define TERN_BENCH_TABLE_H

#include <jansson.h>

#include "bench/bench.h"

void tern__table_row(tern_bench_sink *sink, const json_t *row);

#endif
