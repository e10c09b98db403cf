/* pickle_globals.c - the names that a pickle of tensors may mention, and what it means to call them. Every other name is refused.
 *
 * Source: torch/_utils.py (_rebuild_*) and torch/serialization.py (persistent_load) of PyTorch 0.3 to 2.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "store/pickle_internal.h"

typedef enum tern_global_kind {
    GLOBAL_REFUSED,
    GLOBAL_ORDERED_DICT,
    GLOBAL_SIZE,
    GLOBAL_ENCODE,
    GLOBAL_STORAGE,
    GLOBAL_UNTYPED_STORAGE,
    GLOBAL_DTYPE,
    GLOBAL_TENSOR_TYPE,
    GLOBAL_REBUILD_TENSOR,    /* (storage, offset, size, stride) */
    GLOBAL_REBUILD_TENSOR_V2, /* and (requires_grad, hooks[, metadata]) */
    GLOBAL_REBUILD_TENSOR_V3, /* and (requires_grad, hooks, dtype[, metadata]) */
    GLOBAL_REBUILD_PARAMETER, /* (tensor, requires_grad, hooks[, state]) */
    GLOBAL_REBUILD_FROM_TYPE  /* (function, type, arguments, state) */
} tern_global_kind;

typedef struct tern_global {
    const char *module, *name;
    tern_global_kind kind;
    tern_dtype dtype;   /* STORAGE, DTYPE */
    const char *reason; /* REFUSED */
} tern_global;

#define STORAGE(name, dtype)                                                                                                               \
    { "torch", name, GLOBAL_STORAGE, TERN_DTYPE_##dtype, NULL }
#define DTYPE(name, dtype)                                                                                                                 \
    { "torch", name, GLOBAL_DTYPE, TERN_DTYPE_##dtype, NULL }
#define NAME(module, name, kind)                                                                                                           \
    { module, name, GLOBAL_##kind, TERN_DTYPE_U8, NULL }
#define REFUSED(module, name, reason)                                                                                                      \
    { module, name, GLOBAL_REFUSED, TERN_DTYPE_U8, reason }

static const char is_complex[] = "complex tensors are not read", is_quantized[] = "quantized tensors are not read",
                  is_sparse[] = "sparse tensors are not read",
                  is_other_dtype[] = "only F64, F32, F16, BF16, I64, I32, I16, I8, U8 and BOOL are read",
                  is_script[] = "this is a TorchScript program; save its state_dict() instead";

static const tern_global globals[] = {
    NAME("collections", "OrderedDict", ORDERED_DICT),
    NAME("torch", "Size", SIZE),
    NAME("_codecs", "encode", ENCODE),
    NAME("torch._utils", "_rebuild_tensor", REBUILD_TENSOR),
    NAME("torch._utils", "_rebuild_tensor_v2", REBUILD_TENSOR_V2),
    NAME("torch._utils", "_rebuild_tensor_v3", REBUILD_TENSOR_V3),
    NAME("torch._utils", "_rebuild_parameter", REBUILD_PARAMETER),
    NAME("torch._utils", "_rebuild_parameter_with_state", REBUILD_PARAMETER),
    NAME("torch._tensor", "_rebuild_from_type_v2", REBUILD_FROM_TYPE),
    NAME("torch", "Tensor", TENSOR_TYPE),
    NAME("torch.nn.parameter", "Parameter", TENSOR_TYPE),
    NAME("torch.nn.parameter", "Buffer", TENSOR_TYPE),
    NAME("torch.storage", "UntypedStorage", UNTYPED_STORAGE),
    STORAGE("DoubleStorage", F64),
    STORAGE("FloatStorage", F32),
    STORAGE("HalfStorage", F16),
    STORAGE("BFloat16Storage", BF16),
    STORAGE("LongStorage", I64),
    STORAGE("IntStorage", I32),
    STORAGE("ShortStorage", I16),
    STORAGE("CharStorage", I8),
    STORAGE("ByteStorage", U8),
    STORAGE("BoolStorage", BOOL),
    DTYPE("float64", F64),
    DTYPE("float32", F32),
    DTYPE("float16", F16),
    DTYPE("bfloat16", BF16),
    DTYPE("int64", I64),
    DTYPE("int32", I32),
    DTYPE("int16", I16),
    DTYPE("int8", I8),
    DTYPE("uint8", U8),
    DTYPE("bool", BOOL),
    REFUSED("torch", "ComplexFloatStorage", is_complex),
    REFUSED("torch", "ComplexDoubleStorage", is_complex),
    REFUSED("torch", "QInt8Storage", is_quantized),
    REFUSED("torch", "QUInt8Storage", is_quantized),
    REFUSED("torch", "QInt32Storage", is_quantized),
    REFUSED("torch", "QUInt4x2Storage", is_quantized),
    REFUSED("torch", "QUInt2x4Storage", is_quantized),
    REFUSED("torch._utils", "_rebuild_qtensor", is_quantized),
    REFUSED("torch._utils", "_rebuild_sparse_tensor", is_sparse),
    REFUSED("torch._utils", "_rebuild_sparse_csr_tensor", is_sparse),
    REFUSED("torch.serialization", "_get_layout", is_sparse),
    REFUSED("torch._utils", "_rebuild_nested_tensor", "nested tensors are not read"),
    REFUSED("torch._utils", "_rebuild_meta_tensor_no_storage", "meta tensors have no data"),
};

static bool is_name(const char *name, const unsigned char *bytes, size_t n_bytes) {
    return strlen(name) == n_bytes && memcmp(name, bytes, n_bytes) == 0;
}

static bool begins_with(const unsigned char *bytes, size_t n_bytes, const char *beginning) {
    return n_bytes >= strlen(beginning) && memcmp(bytes, beginning, strlen(beginning)) == 0;
}

/* Why a name that is in no row is refused. */
static const char *refusal_of(const unsigned char *module, size_t n_module, const unsigned char *name, size_t n_name) {
    static const char *const dtypes[] = {"float", "bfloat", "int", "uint", "bits", "complex", "q"};
    if (begins_with(module, n_module, "__torch__")) return is_script;
    for (size_t i = 0; is_name("torch", module, n_module) && i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (begins_with(name, n_name, dtypes[i])) return is_other_dtype;
    return "only tensors are read, and nothing is run";
}

tern_status tern__pickle_find_global(tern_pickle *pickle, tern_value *out, const unsigned char *module, size_t n_module,
                                     const unsigned char *name, size_t n_name) {
    const char *reason = NULL;
    for (size_t i = 0; !reason && i < sizeof globals / sizeof globals[0]; i++) {
        const tern_global *global = &globals[i];
        if (!is_name(global->module, module, n_module) || !is_name(global->name, name, n_name)) continue;
        if (global->kind != GLOBAL_REFUSED) {
            *out = (tern_value){.kind = TERN_VALUE_GLOBAL, .global = global};
            return TERN_OK;
        }
        reason = global->reason;
    }
    if (!reason) reason = refusal_of(module, n_module, name, n_name);
    return FAIL_PICKLE(pickle, TERN_E_UNSUPPORTED, "refuses to load %s.%s: %s", tern__printable(module, n_module).text,
                       tern__printable(name, n_name).text, reason);
}

static bool is_global(const tern_value *value, tern_global_kind kind) {
    return value->kind == TERN_VALUE_GLOBAL && value->global->kind == kind;
}

/* An integer that counts or measures something. */
static tern_status read_size(size_t *out, const tern_pickle *pickle, const tern_value *value, const char *what) {
    if (value->kind != TERN_VALUE_INT || value->integer < 0)
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "%s is %s, not an int of at least 0", what,
                           value->kind == TERN_VALUE_INT ? "negative" : tern__value_kind_name(value->kind));
    *out = (size_t)value->integer;
    return TERN_OK;
}

/* ---- Storages ---- */

/* (key, begin, size): a storage that is a part of another one, in the legacy container. */
static tern_status read_view(tern_storage *storage, const tern_pickle *pickle, const tern_value *view) {
    if (view->kind == TERN_VALUE_NONE) return TERN_OK;
    if (view->kind != TERN_VALUE_TUPLE || view->list->n != 3)
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "the view of a storage is %s, not three values", tern__value_kind_name(view->kind));
    TERN_TRY(read_size(&storage->view_begin, pickle, &view->list->items[1], "the begin of a storage's view"));
    TERN_TRY(read_size(&storage->n_view_elements, pickle, &view->list->items[2], "the size of a storage's view"));
    if (storage->view_begin <= storage->n_elements && storage->n_view_elements <= storage->n_elements - storage->view_begin) return TERN_OK;
    return FAIL_PICKLE(pickle, TERN_E_FORMAT, "a view of %zu elements from %zu on passes the end of its storage of %zu",
                       storage->n_view_elements, storage->view_begin, storage->n_elements);
}

static tern_status read_storage(tern_storage *storage, const tern_pickle *pickle, const tern_value *id) {
    const tern_value *items = id->kind == TERN_VALUE_TUPLE ? id->list->items : NULL;
    const size_t n = items ? id->list->n : 0;
    if ((n != 5 && n != 6) || items[0].kind != TERN_VALUE_STRING || !is_name("storage", items[0].bytes, items[0].n_bytes))
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "a persistent id is %s that names no storage", tern__value_kind_name(id->kind));
    storage->is_untyped = is_global(&items[1], GLOBAL_UNTYPED_STORAGE);
    if (!storage->is_untyped && !is_global(&items[1], GLOBAL_STORAGE))
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "the type of a storage is %s that is no storage type",
                           tern__value_kind_name(items[1].kind));
    storage->dtype = items[1].global->dtype;
    if (items[2].kind != TERN_VALUE_STRING || items[2].n_bytes > 255)
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "the key of a storage is %s, not a string of at most 255 bytes",
                           items[2].kind == TERN_VALUE_STRING ? "longer" : tern__value_kind_name(items[2].kind));
    storage->key = items[2].bytes;
    storage->n_key = items[2].n_bytes;
    TERN_TRY(read_size(&storage->n_elements, pickle, &items[4], "the size of a storage"));
    if (storage->n_elements > INT64_MAX / tern_dtype_bytes(storage->dtype))
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "a storage has %zu elements", storage->n_elements);
    storage->n_view_elements = storage->n_elements;
    storage->at = pickle->opcode_at;
    return n == 6 ? read_view(storage, pickle, &items[5]) : TERN_OK;
}

tern_status tern__pickle_load_storage(tern_pickle *pickle, tern_value *out, const tern_value *id) {
    tern_storage storage = {0};
    TERN_TRY(read_storage(&storage, pickle, id));
    TERN_TRY(tern__pickle_charge(pickle, sizeof storage));
    if (!tern__grow(&pickle->storages, &pickle->storages_capacity, pickle->n_storages + 1, sizeof storage))
        return TERN_FAIL_MEMORY(pickle->err, (pickle->n_storages + 1) * sizeof storage);
    *out = (tern_value){.kind = TERN_VALUE_STORAGE, .index = pickle->n_storages};
    pickle->storages[pickle->n_storages++] = storage;
    return TERN_OK;
}

/* ---- Tensors ---- */

/* The size and stride of a tensor, which are tuples of one length. */
static tern_status read_axes(tern_pickle_tensor *tensor, const tern_pickle *pickle, const tern_value *size, const tern_value *stride) {
    if (size->kind != TERN_VALUE_TUPLE || stride->kind != TERN_VALUE_TUPLE || size->list->n != stride->list->n)
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "the size and stride of a tensor are %s and %s, not two tuples of one length",
                           tern__value_kind_name(size->kind), tern__value_kind_name(stride->kind));
    if (size->list->n > TERN_MAX_RANK)
        return FAIL_PICKLE(pickle, TERN_E_UNSUPPORTED, "a tensor has %zu dimensions; at most %d are read", size->list->n, TERN_MAX_RANK);
    tensor->rank = (int)size->list->n;
    for (int axis = 0; axis < tensor->rank; axis++) {
        size_t value = 0;
        TERN_TRY(read_size(&value, pickle, &size->list->items[axis], "a dimension of a tensor"));
        tensor->shape[axis] = (int64_t)value;
        TERN_TRY(read_size(&value, pickle, &stride->list->items[axis], "a stride of a tensor"));
        tensor->stride[axis] = (int64_t)value;
    }
    return TERN_OK;
}

/* The element farthest from the first must lie in the storage, and the bytes of all elements, a dimension of 0 taken for 1, must be
 * countable. */
static tern_status check_extent(const tern_pickle_tensor *tensor, const tern_pickle *pickle, const tern_storage *storage) {
    const size_t element_bytes = tern_dtype_bytes(tensor->dtype);
    const size_t n_elements = storage->is_untyped ? storage->n_view_elements / element_bytes : storage->n_view_elements;
    size_t bytes = element_bytes, last = tensor->offset;
    bool is_empty = false, fits = true;
    for (int axis = 0; axis < tensor->rank; axis++) {
        const size_t size = (size_t)tensor->shape[axis];
        size_t reach = 0;
        if (size == 0) is_empty = true;
        if (!tern__size_multiply(bytes, size ? size : 1, &bytes) || bytes > INT64_MAX)
            return FAIL_PICKLE(pickle, TERN_E_FORMAT, "the size of a tensor overflows at dimension %d, %zu", axis, size);
        fits = fits && tern__size_multiply(size ? size - 1 : 0, (size_t)tensor->stride[axis], &reach) && tern__size_add(last, reach, &last);
    }
    if (is_empty || (fits && last < n_elements)) return TERN_OK;
    return FAIL_PICKLE(pickle, TERN_E_FORMAT, "a tensor passes the end of its storage, which has %zu elements", n_elements);
}

static tern_status rebuild_tensor(tern_pickle *pickle, tern_value *out, tern_global_kind kind, const tern_value_list *arguments) {
    const tern_value *items = arguments->items;
    const size_t n = arguments->n, n_least = kind == GLOBAL_REBUILD_TENSOR ? 4 : kind == GLOBAL_REBUILD_TENSOR_V2 ? 6 : 7;
    const bool has_metadata = kind != GLOBAL_REBUILD_TENSOR && n == n_least + 1;
    if (n != n_least && !has_metadata) return FAIL_PICKLE(pickle, TERN_E_FORMAT, "a tensor is made of %zu values", n);
    if (items[0].kind != TERN_VALUE_STORAGE)
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "the storage of a tensor is %s", tern__value_kind_name(items[0].kind));
    if (has_metadata && (items[n - 1].kind != TERN_VALUE_DICT || items[n - 1].list->n != 0) && items[n - 1].kind != TERN_VALUE_NONE)
        return FAIL_PICKLE(pickle, TERN_E_UNSUPPORTED, "%s",
                           "a tensor has metadata (conj, neg): such views are not read; save x.resolve_neg()");
    const tern_storage *storage = &pickle->storages[items[0].index];
    tern_pickle_tensor tensor = {.storage = items[0].index, .dtype = storage->dtype, .at = pickle->opcode_at};
    if (kind == GLOBAL_REBUILD_TENSOR_V3) {
        if (!is_global(&items[6], GLOBAL_DTYPE) || !storage->is_untyped)
            return FAIL_PICKLE(pickle, TERN_E_FORMAT, "%s", "a tensor has no dtype, or its storage has one too");
        tensor.dtype = items[6].global->dtype;
    } else if (storage->is_untyped) {
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "%s", "a tensor has no dtype");
    }
    TERN_TRY(read_size(&tensor.offset, pickle, &items[1], "the offset of a tensor"));
    TERN_TRY(read_axes(&tensor, pickle, &items[2], &items[3]));
    TERN_TRY(check_extent(&tensor, pickle, storage));
    TERN_TRY(tern__pickle_charge(pickle, sizeof tensor));
    if (!tern__grow(&pickle->tensors, &pickle->tensors_capacity, pickle->n_tensors + 1, sizeof tensor))
        return TERN_FAIL_MEMORY(pickle->err, (pickle->n_tensors + 1) * sizeof tensor);
    *out = (tern_value){.kind = TERN_VALUE_TENSOR, .index = pickle->n_tensors};
    pickle->tensors[pickle->n_tensors++] = tensor;
    return TERN_OK;
}

/* A parameter is the tensor that it is made of. */
static tern_status rebuild_parameter(const tern_pickle *pickle, tern_value *out, const tern_value_list *arguments) {
    if ((arguments->n != 3 && arguments->n != 4) || arguments->items[0].kind != TERN_VALUE_TENSOR)
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "a parameter is made of %zu values, the first of which must be a tensor", arguments->n);
    *out = arguments->items[0];
    return TERN_OK;
}

/* ---- Other calls ---- */

/* OrderedDict(), or as Python 2 writes it OrderedDict([[key, value], ...]). */
static tern_status make_ordered_dict(tern_pickle *pickle, tern_value *out, const tern_value_list *arguments) {
    TERN_TRY(tern__pickle_new_list(pickle, out, TERN_VALUE_DICT, NULL, 0));
    if (arguments->n == 0) return TERN_OK;
    const tern_value *pairs = &arguments->items[0];
    if (arguments->n != 1 || pairs->kind != TERN_VALUE_LIST)
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "an OrderedDict is made of %s", tern__value_kind_name(pairs->kind));
    for (size_t i = 0; i < pairs->list->n; i++) {
        const tern_value *pair = &pairs->list->items[i];
        if ((pair->kind != TERN_VALUE_LIST && pair->kind != TERN_VALUE_TUPLE) || pair->list->n != 2)
            return FAIL_PICKLE(pickle, TERN_E_FORMAT, "an item of an OrderedDict is %s, not a pair", tern__value_kind_name(pair->kind));
        TERN_TRY(tern__pickle_append(pickle, out->list, pair->list->items, 2));
    }
    return TERN_OK;
}

static tern_status make_size(const tern_pickle *pickle, tern_value *out, const tern_value_list *arguments) {
    if (arguments->n != 1 || arguments->items[0].kind != TERN_VALUE_TUPLE)
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "a torch.Size is made of %zu values, not of a tuple", arguments->n);
    *out = arguments->items[0];
    return TERN_OK;
}

/* Before protocol 3 bytes are the call encode(text, "latin1"). Nothing looks into them. */
static tern_status make_bytes(const tern_pickle *pickle, tern_value *out, const tern_value_list *arguments) {
    if (arguments->n != 2 || arguments->items[0].kind != TERN_VALUE_STRING || arguments->items[1].kind != TERN_VALUE_STRING)
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "bytes are made of %zu values, not of two strings", arguments->n);
    *out = arguments->items[0];
    out->kind = TERN_VALUE_BYTES;
    return TERN_OK;
}

static tern_status call(tern_pickle *pickle, tern_value *out, const tern_global *global, const tern_value_list *arguments) {
    switch (global->kind) {
    case GLOBAL_ORDERED_DICT:
        return make_ordered_dict(pickle, out, arguments);
    case GLOBAL_SIZE:
        return make_size(pickle, out, arguments);
    case GLOBAL_ENCODE:
        return make_bytes(pickle, out, arguments);
    case GLOBAL_REBUILD_TENSOR:
    case GLOBAL_REBUILD_TENSOR_V2:
    case GLOBAL_REBUILD_TENSOR_V3:
        return rebuild_tensor(pickle, out, global->kind, arguments);
    case GLOBAL_REBUILD_PARAMETER:
        return rebuild_parameter(pickle, out, arguments);
    default:
        return FAIL_PICKLE(pickle, TERN_E_UNSUPPORTED, "refuses to call %s.%s", global->module, global->name);
    }
}

tern_status tern__pickle_reduce(tern_pickle *pickle, tern_value *out, const tern_value *callable, const tern_value *arguments) {
    if (callable->kind != TERN_VALUE_GLOBAL || arguments->kind != TERN_VALUE_TUPLE)
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "%s is called with %s", tern__value_kind_name(callable->kind),
                           tern__value_kind_name(arguments->kind));
    if (callable->global->kind != GLOBAL_REBUILD_FROM_TYPE) return call(pickle, out, callable->global, arguments->list);
    /* the function that the type's own reduction would have called; it is not another of these, so the depth is two */
    const tern_value *items = arguments->list->items;
    if (arguments->list->n != 4 || items[0].kind != TERN_VALUE_GLOBAL || !is_global(&items[1], GLOBAL_TENSOR_TYPE) ||
        items[2].kind != TERN_VALUE_TUPLE)
        return FAIL_PICKLE(pickle, TERN_E_FORMAT, "%s", "a tensor with attributes is not made of a function, a type and a tuple");
    return call(pickle, out, items[0].global, items[2].list);
}
