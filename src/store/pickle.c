/* pickle.c - the opcodes of a pickle that holds tensors.
 *
 * Protocols 1 to 5 as far as torch.save writes them. Nothing is imported and nothing is called: a global is a row of the table in
 * pickle_globals.c, and "calling" it builds plain data. Each length is checked against the bytes that are left before anything is
 * allocated, and all values together against TERN_PICKLE_MAX_MEMORY; nothing here recurses.
 * Source: Lib/pickletools.py of CPython, which describes every opcode.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "store/pickle_internal.h"

enum {
    OP_MARK = '(',
    OP_STOP = '.',
    OP_POP = '0',
    OP_POP_MARK = '1',
    OP_BINFLOAT = 'G',
    OP_INT = 'I',
    OP_BININT = 'J',
    OP_BININT1 = 'K',
    OP_LONG = 'L',
    OP_BININT2 = 'M',
    OP_NONE = 'N',
    OP_BINPERSID = 'Q',
    OP_REDUCE = 'R',
    OP_BINSTRING = 'T',
    OP_SHORT_BINSTRING = 'U',
    OP_BINUNICODE = 'X',
    OP_APPEND = 'a',
    OP_BUILD = 'b',
    OP_GLOBAL = 'c',
    OP_DICT = 'd',
    OP_EMPTY_DICT = '}',
    OP_APPENDS = 'e',
    OP_BINGET = 'h',
    OP_LONG_BINGET = 'j',
    OP_LIST = 'l',
    OP_EMPTY_LIST = ']',
    OP_BINPUT = 'q',
    OP_LONG_BINPUT = 'r',
    OP_SETITEM = 's',
    OP_TUPLE = 't',
    OP_EMPTY_TUPLE = ')',
    OP_SETITEMS = 'u',
    OP_BINBYTES = 'B',
    OP_SHORT_BINBYTES = 'C',
    OP_PROTO = 0x80,
    OP_TUPLE1 = 0x85,
    OP_TUPLE2 = 0x86,
    OP_TUPLE3 = 0x87,
    OP_NEWTRUE = 0x88,
    OP_NEWFALSE = 0x89,
    OP_LONG1 = 0x8A,
    OP_LONG4 = 0x8B,
    OP_SHORT_BINUNICODE = 0x8C,
    OP_BINUNICODE8 = 0x8D,
    OP_BINBYTES8 = 0x8E,
    OP_EMPTY_SET = 0x8F,
    OP_ADDITEMS = 0x90,
    OP_FROZENSET = 0x91,
    OP_STACK_GLOBAL = 0x93,
    OP_MEMOIZE = 0x94,
    OP_FRAME = 0x95,
    OP_BYTEARRAY8 = 0x96
};

/* Opcodes that are known and refused. */
static const struct {
    unsigned char code;
    const char *name;
} refused_opcodes[] = {
    {'2', "DUP"},   {'F', "FLOAT"},      {'P', "PERSID"},       {'S', "STRING"},           {'V', "UNICODE"}, {'g', "GET"},
    {'p', "PUT"},   {'i', "INST"},       {'o', "OBJ"},          {0x81, "NEWOBJ"},          {0x82, "EXT1"},   {0x83, "EXT2"},
    {0x84, "EXT4"}, {0x92, "NEWOBJ_EX"}, {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"},
};

const char *tern__value_kind_name(tern_value_kind kind) {
    static const char *const names[] = {"None",    "a bool", "an int", "a long int", "a float", "a string",  "bytes",
                                        "a tuple", "a list", "a dict", "a set",      "a class", "a storage", "a tensor"};
    return names[kind];
}

static tern_status fail_cut_short(const tern_pickle *pickle) {
    return FAIL_PICKLE(pickle, TERN_E_FORMAT, "passes the end of its %zu bytes; was the file cut short?", pickle->n_bytes);
}

static tern_status fail_opcode(const tern_pickle *pickle, unsigned char code) {
    for (size_t i = 0; i < sizeof refused_opcodes / sizeof refused_opcodes[0]; i++)
        if (refused_opcodes[i].code == code)
            return FAIL_PICKLE(pickle, TERN_E_UNSUPPORTED, "refuses the opcode %s: tensors do not need it", refused_opcodes[i].name);
    return FAIL_PICKLE(pickle, TERN_E_FORMAT, "0x%02X is no opcode", code);
}

/* ---- Memory ---- */

tern_status tern__pickle_charge(tern_pickle *pickle, size_t bytes) {
    if (bytes > TERN_PICKLE_MAX_MEMORY - pickle->used_memory)
        return FAIL_PICKLE(pickle, TERN_E_UNSUPPORTED, "its values need more than %zu MB: no dict of tensors is that large",
                           TERN_PICKLE_MAX_MEMORY >> 20);
    pickle->used_memory += bytes;
    return TERN_OK;
}

tern_status tern__pickle_append(tern_pickle *pickle, tern_value_list *list, const tern_value *items, size_t n) {
    if (n == 0) return TERN_OK;
    if (n > list->capacity - list->n) {
        size_t capacity = list->n + n; /* both are bounded by TERN_PICKLE_MAX_MEMORY */
        if (capacity < 2 * list->capacity) capacity = 2 * list->capacity;
        TERN_TRY(tern__pickle_charge(pickle, capacity * sizeof *items));
        tern_value *grown = tern__arena_alloc(&pickle->arena, capacity * sizeof *items);
        if (!grown) return TERN_FAIL_MEMORY(pickle->err, capacity * sizeof *items);
        if (list->n > 0) memcpy(grown, list->items, list->n * sizeof *items);
        list->items = grown;
        list->capacity = capacity;
    }
    memcpy(list->items + list->n, items, n * sizeof *items);
    list->n += n;
    return TERN_OK;
}

tern_status tern__pickle_new_list(tern_pickle *pickle, tern_value *out, tern_value_kind kind, const tern_value *items, size_t n) {
    TERN_TRY(tern__pickle_charge(pickle, tern__align_up(sizeof(tern_value_list), 16))); /* as the arena does */
    tern_value_list *list = tern__arena_alloc(&pickle->arena, sizeof *list);
    if (!list) return TERN_FAIL_MEMORY(pickle->err, sizeof *list);
    *list = (tern_value_list){0};
    *out = (tern_value){.kind = kind, .list = list};
    return tern__pickle_append(pickle, list, items, n);
}

/* ---- The stack ---- */

/* Values above the last mark. */
static size_t n_above_mark(const tern_pickle *pickle) {
    return pickle->n_stack - (pickle->n_marks ? pickle->marks[pickle->n_marks - 1] : 0);
}

static tern_status need_values(const tern_pickle *pickle, size_t n) {
    return n_above_mark(pickle) >= n ? TERN_OK : FAIL_PICKLE(pickle, TERN_E_FORMAT, "the stack has fewer than %zu values", n);
}

static tern_status push(tern_pickle *pickle, tern_value value) {
    if (pickle->n_stack == TERN_PICKLE_MAX_STACK)
        return FAIL_PICKLE(pickle, TERN_E_UNSUPPORTED, "more than %zu values are on the stack", TERN_PICKLE_MAX_STACK);
    if (!tern__grow(&pickle->stack, &pickle->stack_capacity, pickle->n_stack + 1, sizeof *pickle->stack))
        return TERN_FAIL_MEMORY(pickle->err, (pickle->n_stack + 1) * sizeof *pickle->stack);
    pickle->stack[pickle->n_stack++] = value;
    return TERN_OK;
}

static tern_value *top(const tern_pickle *pickle) { return &pickle->stack[pickle->n_stack - 1]; }

/* Drop the last mark: *items, *n are the values that were above it, and are off the stack but still there until the next push. */
static tern_status pop_mark(tern_pickle *pickle, const tern_value **items, size_t *n) {
    if (pickle->n_marks == 0) return FAIL_PICKLE(pickle, TERN_E_FORMAT, "%s", "there is no mark on the stack");
    const size_t height = pickle->marks[--pickle->n_marks];
    *n = pickle->n_stack - height;
    *items = pickle->stack ? pickle->stack + height : NULL;
    pickle->n_stack = height;
    return TERN_OK;
}

/* ---- Bytes ---- */

static tern_status take(tern_pickle *pickle, const unsigned char **bytes, uint64_t n) {
    if (n > pickle->n_bytes - pickle->at) return fail_cut_short(pickle);
    *bytes = pickle->bytes + pickle->at;
    pickle->at += (size_t)n;
    return TERN_OK;
}

/* A little-endian number of `width` bytes. */
static tern_status take_number(tern_pickle *pickle, uint64_t *out, int width) {
    const unsigned char *bytes = NULL;
    TERN_TRY(take(pickle, &bytes, (uint64_t)width));
    *out = 0;
    for (int i = width; i-- > 0;) *out = *out << 8 | bytes[i];
    return TERN_OK;
}

/* To the end of the line, which is not part of it. */
static tern_status take_line(tern_pickle *pickle, const unsigned char **line, size_t *n) {
    *line = pickle->bytes + pickle->at;
    const unsigned char *end = memchr(*line, '\n', pickle->n_bytes - pickle->at);
    if (!end) return fail_cut_short(pickle);
    *n = (size_t)(end - *line);
    pickle->at += *n + 1;
    return TERN_OK;
}

/* A length of `width` bytes, then so many bytes. */
static tern_status push_bytes(tern_pickle *pickle, tern_value_kind kind, int width) {
    uint64_t n = 0;
    const unsigned char *bytes = NULL;
    TERN_TRY(take_number(pickle, &n, width));
    TERN_TRY(take(pickle, &bytes, n));
    if (n > UINT32_MAX) return FAIL_PICKLE(pickle, TERN_E_UNSUPPORTED, "a value of %llu bytes", (unsigned long long)n);
    return push(pickle, (tern_value){.kind = kind, .n_bytes = (uint32_t)n, .bytes = bytes});
}

/* ---- Integers ---- */

static tern_status push_integer(tern_pickle *pickle, int64_t integer) {
    return push(pickle, (tern_value){.kind = TERN_VALUE_INT, .integer = integer});
}

/* Two's complement, little-endian. */
static tern_status push_long(tern_pickle *pickle, int width) {
    TERN_TRY(push_bytes(pickle, TERN_VALUE_LONG, width));
    tern_value *value = top(pickle);
    if (value->n_bytes > 8) return TERN_OK;
    const unsigned char *bytes = value->bytes;
    uint64_t bits = value->n_bytes > 0 && bytes[value->n_bytes - 1] & 0x80 ? UINT64_MAX : 0;
    for (uint32_t i = value->n_bytes; i-- > 0;) bits = bits << 8 | bytes[i];
    *value = (tern_value){.kind = TERN_VALUE_INT, .integer = (int64_t)bits};
    return TERN_OK;
}

/* Protocol 1 writes bools as the lines "I00" and "I01", and what passes 32 bits as "L123L". */
static tern_status push_decimal(tern_pickle *pickle, bool is_long) {
    const unsigned char *line = NULL;
    size_t n = 0;
    TERN_TRY(take_line(pickle, &line, &n));
    if (!is_long && n == 2 && line[0] == '0' && (line[1] == '0' || line[1] == '1'))
        return push(pickle, (tern_value){.kind = TERN_VALUE_BOOL, .integer = line[1] - '0'});
    if (is_long && n > 0 && line[n - 1] == 'L') n--;
    const bool is_negative = n > 0 && line[0] == '-';
    const unsigned char *digits = line + is_negative;
    const size_t n_digits = n - is_negative;
    bool is_number = n_digits > 0 && n <= UINT32_MAX;
    uint64_t magnitude = 0;
    for (size_t i = 0; is_number && i < n_digits; i++) {
        is_number = digits[i] >= '0' && digits[i] <= '9';
        if (i < 18) magnitude = magnitude * 10 + (uint64_t)(digits[i] - '0');
    }
    if (!is_number) return FAIL_PICKLE(pickle, TERN_E_FORMAT, "%s is no number", tern__quote_bytes(line, n).text);
    if (n_digits > 18) return push(pickle, (tern_value){.kind = TERN_VALUE_LONG, .n_bytes = (uint32_t)n, .bytes = line});
    return push_integer(pickle, is_negative ? -(int64_t)magnitude : (int64_t)magnitude);
}

static tern_status push_fixed_integer(tern_pickle *pickle, int width) {
    uint64_t bits = 0;
    TERN_TRY(take_number(pickle, &bits, width));
    return push_integer(pickle, width == 4 ? (int64_t)(int32_t)(uint32_t)bits : (int64_t)bits);
}

/* ---- The memo ---- */

/* A pickle's indices count its entries from 0 (Python 2: from 1), so one that passes the bytes read so far cannot be right. */
static tern_status memo_put(tern_pickle *pickle, uint64_t index) {
    TERN_TRY(need_values(pickle, 1));
    if (index > pickle->at) return FAIL_PICKLE(pickle, TERN_E_FORMAT, "memo %llu is not the next one", (unsigned long long)index);
    if (index >= pickle->memo_capacity) {
        TERN_TRY(tern__pickle_charge(pickle, ((size_t)index + 1) * sizeof *pickle->memo));
        if (!tern__grow(&pickle->memo, &pickle->memo_capacity, (size_t)index + 1, sizeof *pickle->memo))
            return TERN_FAIL_MEMORY(pickle->err, ((size_t)index + 1) * sizeof *pickle->memo);
    }
    for (; pickle->n_memo <= index; pickle->n_memo++) pickle->memo[pickle->n_memo] = (tern_value){.kind = TERN_VALUE_GLOBAL};
    pickle->memo[index] = *top(pickle);
    return TERN_OK;
}

/* A gap in the memo is a global without a row, which no opcode makes. */
static tern_status memo_get(tern_pickle *pickle, uint64_t index) {
    if (index >= pickle->n_memo || (pickle->memo[index].kind == TERN_VALUE_GLOBAL && !pickle->memo[index].global))
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "memo %llu is empty", (unsigned long long)index);
    return push(pickle, pickle->memo[index]);
}

/* ---- Containers ---- */

/* The values above the mark become one. */
static tern_status push_marked(tern_pickle *pickle, tern_value_kind kind) {
    const tern_value *items = NULL;
    size_t n = 0;
    tern_value value = {0};
    TERN_TRY(pop_mark(pickle, &items, &n));
    if (kind == TERN_VALUE_DICT && n % 2 != 0) return FAIL_PICKLE(pickle, TERN_E_FORMAT, "%s", "a key of a dict has no value");
    TERN_TRY(tern__pickle_new_list(pickle, &value, kind, items, n));
    return push(pickle, value);
}

static tern_status push_empty(tern_pickle *pickle, tern_value_kind kind) {
    tern_value value = {0};
    TERN_TRY(tern__pickle_new_list(pickle, &value, kind, NULL, 0));
    return push(pickle, value);
}

static tern_status push_tuple(tern_pickle *pickle, size_t n) {
    tern_value value = {0};
    TERN_TRY(need_values(pickle, n));
    TERN_TRY(tern__pickle_new_list(pickle, &value, TERN_VALUE_TUPLE, pickle->stack + pickle->n_stack - n, n));
    pickle->n_stack -= n;
    return push(pickle, value);
}

/* Put items into the container that is now on top. */
static tern_status extend_top(tern_pickle *pickle, tern_value_kind kind, const tern_value *items, size_t n) {
    TERN_TRY(need_values(pickle, 1));
    if (top(pickle)->kind != kind)
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "%s cannot take items of %s", tern__value_kind_name(top(pickle)->kind),
                           tern__value_kind_name(kind));
    if (kind == TERN_VALUE_DICT && n % 2 != 0) return FAIL_PICKLE(pickle, TERN_E_FORMAT, "%s", "a key of a dict has no value");
    return tern__pickle_append(pickle, top(pickle)->list, items, n);
}

/* The container, and on it n items; or the container, a mark, and items. */
static tern_status extend(tern_pickle *pickle, tern_value_kind kind, size_t n) {
    TERN_TRY(need_values(pickle, n + 1));
    pickle->n_stack -= n;
    return extend_top(pickle, kind, pickle->stack + pickle->n_stack, n);
}

static tern_status extend_marked(tern_pickle *pickle, tern_value_kind kind) {
    const tern_value *items = NULL;
    size_t n = 0;
    TERN_TRY(pop_mark(pickle, &items, &n));
    return extend_top(pickle, kind, items, n);
}

static tern_status run_container(tern_pickle *pickle, unsigned char code, bool *is_known) {
    switch (code) {
    case OP_EMPTY_LIST:
        return push_empty(pickle, TERN_VALUE_LIST);
    case OP_EMPTY_TUPLE:
        return push_empty(pickle, TERN_VALUE_TUPLE);
    case OP_EMPTY_DICT:
        return push_empty(pickle, TERN_VALUE_DICT);
    case OP_EMPTY_SET:
        return push_empty(pickle, TERN_VALUE_SET);
    case OP_LIST:
        return push_marked(pickle, TERN_VALUE_LIST);
    case OP_TUPLE:
        return push_marked(pickle, TERN_VALUE_TUPLE);
    case OP_DICT:
        return push_marked(pickle, TERN_VALUE_DICT);
    case OP_FROZENSET:
        return push_marked(pickle, TERN_VALUE_SET);
    case OP_TUPLE1:
        return push_tuple(pickle, 1);
    case OP_TUPLE2:
        return push_tuple(pickle, 2);
    case OP_TUPLE3:
        return push_tuple(pickle, 3);
    case OP_APPEND:
        return extend(pickle, TERN_VALUE_LIST, 1);
    case OP_SETITEM:
        return extend(pickle, TERN_VALUE_DICT, 2);
    case OP_APPENDS:
        return extend_marked(pickle, TERN_VALUE_LIST);
    case OP_SETITEMS:
        return extend_marked(pickle, TERN_VALUE_DICT);
    case OP_ADDITEMS:
        return extend_marked(pickle, TERN_VALUE_SET);
    default:
        *is_known = false;
        return TERN_OK;
    }
}

/* ---- Scalars ---- */

static tern_status run_scalar(tern_pickle *pickle, unsigned char code, bool *is_known) {
    const unsigned char *bytes = NULL;
    switch (code) {
    case OP_NONE:
        return push(pickle, (tern_value){.kind = TERN_VALUE_NONE});
    case OP_NEWTRUE:
        return push(pickle, (tern_value){.kind = TERN_VALUE_BOOL, .integer = 1});
    case OP_NEWFALSE:
        return push(pickle, (tern_value){.kind = TERN_VALUE_BOOL});
    case OP_INT:
        return push_decimal(pickle, false);
    case OP_LONG:
        return push_decimal(pickle, true);
    case OP_BININT:
        return push_fixed_integer(pickle, 4);
    case OP_BININT1:
        return push_fixed_integer(pickle, 1);
    case OP_BININT2:
        return push_fixed_integer(pickle, 2);
    case OP_LONG1:
        return push_long(pickle, 1);
    case OP_LONG4:
        return push_long(pickle, 4);
    case OP_BINFLOAT:
        TERN_TRY(take(pickle, &bytes, 8));
        return push(pickle, (tern_value){.kind = TERN_VALUE_FLOAT});
    case OP_SHORT_BINSTRING:
        return push_bytes(pickle, TERN_VALUE_STRING, 1); /* str of Python 2 */
    case OP_BINSTRING:
        return push_bytes(pickle, TERN_VALUE_STRING, 4);
    case OP_SHORT_BINUNICODE:
        return push_bytes(pickle, TERN_VALUE_STRING, 1);
    case OP_BINUNICODE:
        return push_bytes(pickle, TERN_VALUE_STRING, 4);
    case OP_BINUNICODE8:
        return push_bytes(pickle, TERN_VALUE_STRING, 8);
    case OP_SHORT_BINBYTES:
        return push_bytes(pickle, TERN_VALUE_BYTES, 1);
    case OP_BINBYTES:
        return push_bytes(pickle, TERN_VALUE_BYTES, 4);
    case OP_BINBYTES8:
    case OP_BYTEARRAY8:
        return push_bytes(pickle, TERN_VALUE_BYTES, 8);
    default:
        *is_known = false;
        return TERN_OK;
    }
}

/* ---- Objects ---- */

static tern_status run_global(tern_pickle *pickle) {
    const unsigned char *module = NULL, *name = NULL;
    size_t n_module = 0, n_name = 0;
    tern_value value = {0};
    TERN_TRY(take_line(pickle, &module, &n_module));
    TERN_TRY(take_line(pickle, &name, &n_name));
    TERN_TRY(tern__pickle_find_global(pickle, &value, module, n_module, name, n_name));
    return push(pickle, value);
}

static tern_status run_stack_global(tern_pickle *pickle) {
    TERN_TRY(need_values(pickle, 2));
    const tern_value *name = top(pickle), *module = name - 1;
    if (module->kind != TERN_VALUE_STRING || name->kind != TERN_VALUE_STRING)
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "a global is named by %s and %s", tern__value_kind_name(module->kind),
                           tern__value_kind_name(name->kind));
    tern_value value = {0};
    TERN_TRY(tern__pickle_find_global(pickle, &value, module->bytes, module->n_bytes, name->bytes, name->n_bytes));
    pickle->n_stack -= 2;
    return push(pickle, value);
}

static tern_status run_reduce(tern_pickle *pickle) {
    TERN_TRY(need_values(pickle, 2));
    tern_value value = {0};
    TERN_TRY(tern__pickle_reduce(pickle, &value, top(pickle) - 1, top(pickle)));
    pickle->n_stack -= 2;
    return push(pickle, value);
}

/* Attributes of an OrderedDict, such as the _metadata of a state dict, are dropped. Nothing else has any. */
static tern_status run_build(tern_pickle *pickle) {
    TERN_TRY(need_values(pickle, 2));
    const tern_value *state = top(pickle), *object = state - 1;
    if (object->kind != TERN_VALUE_DICT || state->kind != TERN_VALUE_DICT)
        return FAIL_PICKLE(pickle, TERN_E_UNSUPPORTED, "refuses to set the state of %s from %s", tern__value_kind_name(object->kind),
                           tern__value_kind_name(state->kind));
    pickle->n_stack--;
    return TERN_OK;
}

static tern_status run_persistent_id(tern_pickle *pickle) {
    TERN_TRY(need_values(pickle, 1));
    tern_value value = {0};
    TERN_TRY(tern__pickle_load_storage(pickle, &value, top(pickle)));
    pickle->n_stack--;
    return push(pickle, value);
}

/* ---- The machine ---- */

static tern_status run_mark(tern_pickle *pickle) {
    if (pickle->n_marks == TERN_PICKLE_MAX_MARKS)
        return FAIL_PICKLE(pickle, TERN_E_UNSUPPORTED, "values are nested deeper than %zu", TERN_PICKLE_MAX_MARKS);
    pickle->marks[pickle->n_marks++] = pickle->n_stack;
    return TERN_OK;
}

/* The mark itself when nothing is above it. */
static tern_status run_pop(tern_pickle *pickle) {
    if (n_above_mark(pickle) > 0) {
        pickle->n_stack--;
        return TERN_OK;
    }
    const tern_value *items = NULL;
    size_t n = 0;
    return pop_mark(pickle, &items, &n);
}

static tern_status run_protocol(tern_pickle *pickle) {
    uint64_t protocol = 0;
    TERN_TRY(take_number(pickle, &protocol, 1));
    if (protocol <= 5) return TERN_OK;
    return FAIL_PICKLE(pickle, TERN_E_UNSUPPORTED, "protocol %u is not 0 to 5", (unsigned)protocol);
}

static tern_status run_frame(tern_pickle *pickle) {
    uint64_t n = 0;
    TERN_TRY(take_number(pickle, &n, 8));
    return n <= pickle->n_bytes - pickle->at ? TERN_OK : fail_cut_short(pickle);
}

static tern_status run_opcode(tern_pickle *pickle, unsigned char code) {
    bool is_known = true;
    const tern_value *items = NULL;
    size_t n = 0;
    uint64_t index = 0;
    tern_status status = run_scalar(pickle, code, &is_known);
    if (is_known) return status;
    is_known = true;
    status = run_container(pickle, code, &is_known);
    if (is_known) return status;
    switch (code) {
    case OP_MARK:
        return run_mark(pickle);
    case OP_POP:
        return run_pop(pickle);
    case OP_POP_MARK:
        return pop_mark(pickle, &items, &n);
    case OP_BINGET:
        TERN_TRY(take_number(pickle, &index, 1));
        return memo_get(pickle, index);
    case OP_LONG_BINGET:
        TERN_TRY(take_number(pickle, &index, 4));
        return memo_get(pickle, index);
    case OP_BINPUT:
        TERN_TRY(take_number(pickle, &index, 1));
        return memo_put(pickle, index);
    case OP_LONG_BINPUT:
        TERN_TRY(take_number(pickle, &index, 4));
        return memo_put(pickle, index);
    case OP_MEMOIZE:
        return memo_put(pickle, pickle->n_memo);
    case OP_GLOBAL:
        return run_global(pickle);
    case OP_STACK_GLOBAL:
        return run_stack_global(pickle);
    case OP_REDUCE:
        return run_reduce(pickle);
    case OP_BUILD:
        return run_build(pickle);
    case OP_BINPERSID:
        return run_persistent_id(pickle);
    case OP_PROTO:
        return run_protocol(pickle);
    case OP_FRAME:
        return run_frame(pickle);
    default:
        return fail_opcode(pickle, code);
    }
}

tern_status tern__pickle_run(tern_pickle *pickle, tern_value *out) {
    pickle->n_stack = pickle->n_marks = pickle->n_memo = 0;
    const size_t begin = pickle->at;
    for (;;) {
        const unsigned char *code = NULL;
        pickle->opcode_at = pickle->at;
        if (pickle->at - begin > TERN_PICKLE_MAX_BYTES)
            return FAIL_PICKLE(pickle, TERN_E_UNSUPPORTED, "it is longer than %zu bytes: no dict of tensors is", TERN_PICKLE_MAX_BYTES);
        TERN_TRY(take(pickle, &code, 1));
        if (*code == OP_STOP) break;
        TERN_TRY(run_opcode(pickle, *code));
    }
    if (pickle->n_marks != 0 || pickle->n_stack != 1)
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "ends with %zu values on the stack instead of one", pickle->n_stack);
    *out = pickle->stack[0];
    return TERN_OK;
}

void tern__pickle_free(tern_pickle *pickle) {
    free(pickle->stack);
    free(pickle->memo);
    free(pickle->storages);
    free(pickle->tensors);
    tern__arena_free(&pickle->arena);
}
