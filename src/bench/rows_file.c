/* rows_file.c - see rows_file.h. Files may come from other programs: every key is looked at before it is used.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/rows_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "bench/json_row.h"

static tern_status check_row(const json_t *row, const char *path, size_t number, tern_error *err) {
    const char *schema = tern__row_string(row, "schema");
    if (strcmp(schema, TERN_ROW_SCHEMA) != 0)
        return TERN_FAIL(err, TERN_E_FORMAT, "%s: line %zu: its schema is \"%.40s\", not \"%s\"", path, number, schema, TERN_ROW_SCHEMA);
    if (tern__row_string(row, "kind")[0] == '\0') return TERN_FAIL(err, TERN_E_FORMAT, "%s: line %zu: it has no \"kind\"", path, number);
    return TERN_OK;
}

static tern_status add_row(json_t *rows, const char *path, size_t number, const char *line, size_t bytes, tern_error *err) {
    json_error_t why;
    json_t *row = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &why);
    if (row == NULL) return TERN_FAIL(err, TERN_E_FORMAT, "%s: line %zu: %s", path, number, why.text);
    tern_status status = check_row(row, path, number, err);
    if (status == TERN_OK && json_array_append(rows, row) != 0) status = TERN_FAIL(err, TERN_E_MEMORY, "%s: out of memory", path);
    json_decref(row);
    return status;
}

static tern_status read_lines(json_t *rows, const char *path, FILE *file, tern_error *err) {
    char *line = NULL;
    size_t capacity = 0, number = 0;
    const size_t n_before = json_array_size(rows);
    tern_status status = TERN_OK;
    for (ssize_t bytes; status == TERN_OK && (errno = 0, bytes = getline(&line, &capacity, file)) >= 0;) {
        number++;
        if (strspn(line, " \t\r\n") != (size_t)bytes) status = add_row(rows, path, number, line, (size_t)bytes, err);
    }
    free(line);
    if (status == TERN_OK && ferror(file)) return TERN_FAIL(err, TERN_E_IO, "%s: cannot be read: %s", path, strerror(errno));
    if (status == TERN_OK && json_array_size(rows) == n_before) return TERN_FAIL(err, TERN_E_FORMAT, "%s: holds no row", path);
    return status;
}

tern_status tern__rows_load(json_t **rows, const char *path, tern_error *err) {
    if (*rows == NULL) *rows = json_array();
    FILE *file = fopen(path, "r");
    if (file == NULL) return TERN_FAIL(err, TERN_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    const tern_status status = read_lines(*rows, path, file, err);
    fclose(file);
    return status;
}

double *tern__row_numbers(const json_t *row, const char *key, size_t *n) {
    const json_t *list = json_object_get(row, key);
    double *numbers = malloc((json_array_size(list) + 1) * sizeof *numbers);
    *n = 0;
    for (size_t i = 0; numbers != NULL && i < json_array_size(list); i++) {
        const json_t *number = json_array_get(list, i);
        if (json_is_number(number)) numbers[(*n)++] = json_number_value(number);
    }
    if (*n > 0) return numbers;
    free(numbers);
    return NULL;
}

bool tern__rows_match(const json_t *a, const json_t *b) {
    return strcmp(tern__row_string(a, "engine"), tern__row_string(b, "engine")) == 0 && tern__rows_match_but_engine(a, b);
}

bool tern__rows_match_but_engine(const json_t *a, const json_t *b) {
    static const char *const strings[] = {"kind", "model", "device", "dtype", "op", "shape"};
    static const char *const numbers[] = {"threads", "chars", "batch"}, *const of_ops[] = {"in", "out", "tokens"};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        if (strcmp(tern__row_string(a, strings[i]), tern__row_string(b, strings[i])) != 0) return false;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (json_integer_value(json_object_get(a, numbers[i])) != json_integer_value(json_object_get(b, numbers[i]))) return false;
    for (size_t i = 0; i < sizeof of_ops / sizeof *of_ops && strcmp(tern__row_string(a, "kind"), "op") == 0; i++)
        if (json_integer_value(json_object_get(a, of_ops[i])) != json_integer_value(json_object_get(b, of_ops[i]))) return false;
    return true;
}
