/* product.c - y = activation(x transpose(weight) + bias) + residual by cuBLASLt, and by kernels of our own as far as it has no epilogue.
 *
 * cuBLASLt's matrices are column-major, so it is told of transpose(y) = weight transpose(x). Which of its kernels is fastest is measured,
 * once for each kind of product, or was by an earlier process; a kind includes the row count, which is a bucket's, so that rows have the
 * same bits in every batch of one bucket. Kernels that split k and add up in storage precision or in no fixed order are not asked for.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "device/cuda/cuda.h"

#define MAX_CANDIDATES 8
#define REPEATS        4
#define REDUCTION      CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE

/* Bytes that an address is a multiple of, at most 256. */
static uint32_t alignment_of(const void *data) {
    uint32_t alignment = 256;
    while (alignment > 1 && (uintptr_t)data % alignment != 0) alignment /= 2;
    return alignment;
}

/* ---- What cuBLASLt is asked for ---- */

/* y = x transpose(weight) + bias + residual, then what the epilogue adds. */
typedef struct matmul {
    tern_cuda_rows x, weight, y, residual;
    const void *bias;
    const float *weight_scales, *x_scales; /* of each row; NULL: none */
    cudaDataType_t operands, result, scalars;
    cublasComputeType_t compute;
    cublasLtEpilogue_t epilogue;
    int64_t m;
    int32_t n, k;
} matmul;

/* How much of a product cuBLASLt does; a kernel of our own does the rest. */
typedef enum way { WHOLE, ACTIVATION_APART, SUMS_APART, N_WAYS } way;

static cudaDataType_t type_of(tern_cuda_type type) {
    static const cudaDataType_t types[] = {CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF, CUDA_R_8F_E4M3, CUDA_R_8I};
    return types[type];
}

static bool is_narrow(const tern_cuda_product *p) { return p->weight_type != p->type; }

/* May it be done so? cuBLASLt's GELU is the one of tanh, within 4.8e-4 of the one of erf, of sums that are still float32; rounded to 16
 * bits first, they would cost both kinds more (docs/SPEED.md). Scales of rows it takes for float8_e4m3fn on compute capability 9.0. */
static bool may_be(way how, const tern_cuda_product *p, int capability) {
    const bool is_gelu = p->activation == TERN_OP_GELU || p->activation == TERN_OP_GELU_TANH;
    const bool has_epilogue = p->activation == TERN_OP_INPUT || p->activation == TERN_OP_RELU || (is_gelu && p->type != TERN_CUDA_F32);
    if (how == SUMS_APART) return is_narrow(p);
    if (is_narrow(p) && (p->weight_type != TERN_CUDA_E4M3 || capability != 90)) return false;
    return how == WHOLE ? has_epilogue : p->activation != TERN_OP_INPUT;
}

static cublasLtEpilogue_t epilogue_of(bool bias, tern_op activation) {
    if (activation == TERN_OP_RELU) return bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    if (activation == TERN_OP_GELU || activation == TERN_OP_GELU_TANH) return bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

static matmul matmul_of(const tern_cuda_product *p, way how) {
    matmul m = {.x = is_narrow(p) ? p->narrow_x : p->x,
                .weight = p->weight,
                .y = p->y,
                .operands = type_of(p->weight_type),
                .result = type_of(p->type),
                .scalars = CUDA_R_32F,
                .compute = p->is_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                .epilogue = epilogue_of(false, TERN_OP_INPUT),
                .m = p->m,
                .n = p->n,
                .k = p->k};
    if (how == SUMS_APART) {
        const bool is_integer = p->weight_type == TERN_CUDA_I8;
        m.y = p->sums;
        m.result = m.scalars = is_integer ? CUDA_R_32I : CUDA_R_32F;
        m.compute = is_integer ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F;
        return m;
    }
    m.residual = p->residual;
    m.bias = p->bias;
    m.epilogue = epilogue_of(p->bias != NULL, how == WHOLE ? p->activation : TERN_OP_INPUT);
    if (is_narrow(p)) m.weight_scales = p->weight_scales, m.x_scales = p->narrow_scales;
    return m;
}

static void kind_of(tern_cuda_product_kind *kind, const matmul *m) {
    memset(kind, 0, sizeof *kind);
    kind->m = m->m, kind->n = m->n, kind->k = m->k;
    kind->ldx = m->x.ld, kind->ldw = m->weight.ld, kind->ldy = m->y.ld;
    kind->ldr = m->residual.data != NULL ? m->residual.ld : 0;
    kind->operands = (int32_t)m->operands, kind->result = (int32_t)m->result;
    kind->compute = (int32_t)m->compute, kind->epilogue = (int32_t)m->epilogue;
    kind->is_scaled = m->x_scales != NULL;
    kind->alignments[0] = alignment_of(m->weight.data), kind->alignments[1] = alignment_of(m->x.data);
    kind->alignments[2] = alignment_of(m->residual.data != NULL ? m->residual.data : m->y.data);
    kind->alignments[3] = alignment_of(m->y.data);
}

static const tern_cuda_algorithm *find(const tern_cuda_algorithms *algorithms, const tern_cuda_product_kind *kind) {
    for (size_t i = 0; i < algorithms->n; i++)
        if (memcmp(&algorithms->entries[i].kind, kind, sizeof *kind) == 0) return &algorithms->entries[i];
    return NULL;
}

/* ---- Descriptors ---- */

typedef struct descriptors {
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t weight, x, residual, y;
} descriptors;

static void descriptors_free(descriptors *d) {
    if (d->operation != NULL) cublasLtMatmulDescDestroy(d->operation);
    if (d->weight != NULL) cublasLtMatrixLayoutDestroy(d->weight);
    if (d->x != NULL) cublasLtMatrixLayoutDestroy(d->x);
    if (d->residual != NULL) cublasLtMatrixLayoutDestroy(d->residual);
    if (d->y != NULL) cublasLtMatrixLayoutDestroy(d->y);
}

#define TRY(call)                                                                                                                          \
    do {                                                                                                                                   \
        const cublasStatus_t try_status_ = (call);                                                                                         \
        if (try_status_ != CUBLAS_STATUS_SUCCESS) return try_status_;                                                                      \
    } while (0)

static cublasStatus_t set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, int32_t value) {
    return cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value);
}

static cublasStatus_t set_scales(cublasLtMatmulDesc_t operation, const matmul *m) {
    TRY(set(operation, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F));
    TRY(set(operation, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F));
    TRY(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, &m->weight_scales, sizeof m->weight_scales));
    return cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, &m->x_scales, sizeof m->x_scales);
}

static cublasStatus_t describe(descriptors *d, const matmul *m) {
    *d = (descriptors){0};
    TRY(cublasLtMatmulDescCreate(&d->operation, m->compute, m->scalars));
    TRY(set(d->operation, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T));
    TRY(set(d->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, (int32_t)m->epilogue));
    if (m->bias != NULL) {
        TRY(cublasLtMatmulDescSetAttribute(d->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &m->bias, sizeof m->bias));
        TRY(set(d->operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, (int32_t)m->result));
    }
    if (m->x_scales != NULL) TRY(set_scales(d->operation, m));
    if (m->operands == CUDA_R_8F_E4M3) { /* what sums lose so is far below what operands of 4 bits have lost */
        const int8_t yes = 1;
        TRY(cublasLtMatmulDescSetAttribute(d->operation, CUBLASLT_MATMUL_DESC_FAST_ACCUM, &yes, sizeof yes));
    }
    const uint64_t rows = (uint64_t)m->m, n = (uint64_t)m->n, k = (uint64_t)m->k;
    TRY(cublasLtMatrixLayoutCreate(&d->weight, m->operands, k, n, m->weight.ld));
    TRY(cublasLtMatrixLayoutCreate(&d->x, m->operands, k, rows, m->x.ld));
    TRY(cublasLtMatrixLayoutCreate(&d->residual, m->result, n, rows, m->residual.data != NULL ? m->residual.ld : m->y.ld));
    return cublasLtMatrixLayoutCreate(&d->y, m->result, n, rows, m->y.ld);
}

static cublasStatus_t multiply(const tern_cuda_queue *queue, const descriptors *d, const matmul *m, const cublasLtMatmulAlgo_t *algorithm) {
    const float one = 1.0f, beta = m->residual.data != NULL ? 1.0f : 0.0f;
    const int32_t integer_one = 1, integer_zero = 0;
    const bool is_integer = m->scalars == CUDA_R_32I;
    const void *residual = m->residual.data != NULL ? m->residual.data : m->y.data;
    return cublasLtMatmul(queue->device->lt, d->operation, is_integer ? (const void *)&integer_one : &one, m->weight.data, d->weight,
                          m->x.data, d->x, is_integer ? (const void *)&integer_zero : &beta, residual, d->residual, m->y.data, d->y,
                          algorithm, queue->lt_workspace, TERN_CUDA_LT_WORKSPACE, queue->stream);
}

/* ---- Choosing ---- */

static cublasStatus_t suggest(const tern_cuda_device *device, const descriptors *d, const tern_cuda_product_kind *kind,
                              cublasLtMatmulHeuristicResult_t *results, int *n) {
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const size_t workspace = TERN_CUDA_LT_WORKSPACE;
    const uint32_t reduction = REDUCTION;
    cublasLtMatmulPreference_t preference;
    *n = 0;
    TRY(cublasLtMatmulPreferenceCreate(&preference));
    cublasStatus_t status =
        cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction);
    for (int i = 0; i < 4 && status == CUBLAS_STATUS_SUCCESS; i++)
        status = cublasLtMatmulPreferenceSetAttribute(preference, alignments[i], &kind->alignments[i], sizeof(uint32_t));
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulAlgoGetHeuristic(device->lt, d->operation, d->weight, d->x, d->residual, d->y, preference, MAX_CANDIDATES,
                                                results, n);
    cublasLtMatmulPreferenceDestroy(preference);
    return status;
}

/* Milliseconds of a few products; infinite when it does not run. */
static float measure(const tern_cuda_queue *queue, const descriptors *d, const matmul *m, const cublasLtMatmulAlgo_t *algorithm,
                     cudaEvent_t begin, cudaEvent_t end) {
    float time = 0;
    bool ok = multiply(queue, d, m, algorithm) == CUBLAS_STATUS_SUCCESS && cudaEventRecord(begin, queue->stream) == cudaSuccess;
    for (int i = 0; i < REPEATS && ok; i++) ok = multiply(queue, d, m, algorithm) == CUBLAS_STATUS_SUCCESS;
    ok = ok && cudaEventRecord(end, queue->stream) == cudaSuccess && cudaEventSynchronize(end) == cudaSuccess &&
         cudaEventElapsedTime(&time, begin, end) == cudaSuccess;
    return ok ? time : 1e30f;
}

/* *is_known: it is the only one or was measured. */
static int fastest(bool *is_known, const tern_cuda_queue *queue, const descriptors *d, const matmul *m,
                   const cublasLtMatmulHeuristicResult_t *results, int n) {
    cudaEvent_t begin = NULL, end = NULL;
    float least = 1e30f;
    int best = 0;
    if (n > 1 && cudaEventCreate(&begin) == cudaSuccess && cudaEventCreate(&end) == cudaSuccess)
        for (int i = 0; i < n; i++) {
            const float time = measure(queue, d, m, &results[i].algo, begin, end);
            if (time < least) least = time, best = i;
        }
    if (begin != NULL) cudaEventDestroy(begin);
    if (end != NULL) cudaEventDestroy(end);
    *is_known = n == 1 || least < 1e30f;
    return best;
}

/* May it be used, whoever wrote it, and does it run? */
static bool is_usable(const tern_cuda_queue *queue, const descriptors *d, const matmul *m, const cublasLtMatmulAlgo_t *algorithm) {
    cublasLtMatmulHeuristicResult_t result;
    uint32_t reduction;
    return cublasLtMatmulAlgoCheck(queue->device->lt, d->operation, d->weight, d->x, d->residual, d->y, algorithm, &result) ==
               CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= TERN_CUDA_LT_WORKSPACE &&
           cublasLtMatmulAlgoConfigGetAttribute(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, &reduction, sizeof reduction, NULL) ==
               CUBLAS_STATUS_SUCCESS &&
           (reduction & ~(uint32_t)REDUCTION) == 0 && multiply(queue, d, m, algorithm) == CUBLAS_STATUS_SUCCESS;
}

/* entry->kind is set. */
static cublasStatus_t choose(tern_cuda_algorithm *entry, const tern_cuda_queue *queue, const descriptors *d, const matmul *m) {
    cublasLtMatmulHeuristicResult_t results[MAX_CANDIDATES];
    int n = 0;
    bool is_known;
    const cublasLtMatmulAlgo_t *kept = tern__cuda_algorithm_cache_find(queue->device->algorithm_cache, &entry->kind);
    if (kept != NULL && is_usable(queue, d, m, kept)) {
        entry->algorithm = *kept;
        return CUBLAS_STATUS_SUCCESS;
    }
    TRY(suggest(queue->device, d, &entry->kind, results, &n));
    if (n == 0) return CUBLAS_STATUS_NOT_SUPPORTED;
    entry->algorithm = results[fastest(&is_known, queue, d, m, results, n)].algo;
    if (is_known) tern__cuda_algorithm_cache_add(queue->device->algorithm_cache, entry);
    return CUBLAS_STATUS_SUCCESS;
}

static tern_status fail(const tern_cuda_device *device, const tern_cuda_product *p, cublasStatus_t status, tern_error *err) {
    return TERN_FAIL(err, status == CUBLAS_STATUS_ALLOC_FAILED ? TERN_E_MEMORY : TERN_E_DEVICE,
                     "%s: cuBLASLt's product of %lld x %d and %d x %d: %s", device->name, (long long)p->m, p->k, p->k, p->n,
                     cublasLtGetStatusString(status));
}

/* entry->kind is set, and new. NOT_SUPPORTED: cuBLASLt does not do it so. */
static cublasStatus_t choose_way(tern_cuda_algorithms *algorithms, tern_cuda_algorithm *entry, const tern_cuda_queue *queue,
                                 const matmul *m) {
    if (!tern__grow(&algorithms->entries, &algorithms->capacity, algorithms->n + 1, sizeof *algorithms->entries))
        return CUBLAS_STATUS_ALLOC_FAILED;
    descriptors d;
    cublasStatus_t status = describe(&d, m);
    if (status == CUBLAS_STATUS_SUCCESS) status = choose(entry, queue, &d, m);
    if (status == CUBLAS_STATUS_SUCCESS) algorithms->entries[algorithms->n++] = *entry;
    descriptors_free(&d);
    return status;
}

static cudaError_t narrow_rows(const tern_cuda_queue *queue, const tern_cuda_product *p) {
    if (!is_narrow(p)) return cudaSuccess;
    return tern__cuda_quantize(queue->stream, p->narrow_x, p->narrow_scales, p->weight_type, p->x, (tern_cuda_shape){p->m, p->k, p->type});
}

tern_status tern__cuda_product_choose(tern_cuda_algorithms *algorithms, const tern_cuda_queue *queue, const tern_cuda_product *product,
                                      tern_error *err) {
    cublasStatus_t status = CUBLAS_STATUS_NOT_SUPPORTED;
    for (way how = WHOLE; how < N_WAYS && status == CUBLAS_STATUS_NOT_SUPPORTED; how++) {
        const matmul m = matmul_of(product, how);
        tern_cuda_algorithm entry;
        if (!may_be(how, product, queue->device->capability)) continue;
        kind_of(&entry.kind, &m);
        if (find(algorithms, &entry.kind) != NULL) return TERN_OK;
        TERN_CUDA_TRY(queue->device, narrow_rows(queue, product), "quantizing rows", err);
        status = choose_way(algorithms, &entry, queue, &m);
    }
    return status == CUBLAS_STATUS_SUCCESS ? TERN_OK : fail(queue->device, product, status, err);
}

/* What the way leaves to do. */
static cudaError_t finish(const tern_cuda_queue *queue, const tern_cuda_product *p, way how) {
    if (how == SUMS_APART) return tern__cuda_scale_sums(queue->stream, p);
    if (how == WHOLE) return cudaSuccess;
    return tern__cuda_elementwise(queue->stream, p->activation, p->y, p->y, (tern_cuda_rows){0}, (tern_cuda_shape){p->m, p->n, p->type});
}

/* The way that was chosen is the first of which there is an algorithm. */
static const tern_cuda_algorithm *chosen(way *how, matmul *m, const tern_cuda_algorithms *algorithms, const tern_cuda_product *p,
                                         int capability) {
    const tern_cuda_algorithm *entry = NULL;
    for (way w = WHOLE; w < N_WAYS && entry == NULL; w++) {
        tern_cuda_product_kind kind;
        if (!may_be(w, p, capability)) continue;
        *how = w;
        *m = matmul_of(p, w);
        kind_of(&kind, m);
        entry = find(algorithms, &kind);
    }
    return entry;
}

tern_status tern__cuda_product_run(const tern_cuda_algorithms *algorithms, const tern_cuda_queue *queue, const tern_cuda_product *product,
                                   tern_error *err) {
    way how;
    matmul m;
    descriptors d;
    const tern_cuda_algorithm *entry = chosen(&how, &m, algorithms, product, queue->device->capability);
    if (entry == NULL) return fail(queue->device, product, CUBLAS_STATUS_NOT_INITIALIZED, err);
    TERN_CUDA_TRY(queue->device, narrow_rows(queue, product), "quantizing rows", err);
    cublasStatus_t status = describe(&d, &m);
    if (status == CUBLAS_STATUS_SUCCESS) status = multiply(queue, &d, &m, &entry->algorithm);
    descriptors_free(&d);
    if (status != CUBLAS_STATUS_SUCCESS) return fail(queue->device, product, status, err);
    TERN_CUDA_TRY(queue->device, finish(queue, product, how), "a product", err);
    return TERN_OK;
}
