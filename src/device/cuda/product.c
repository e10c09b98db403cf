/* product.c - y = x transpose(weight) + bias by cuBLASLt, with an activation or a residual where it has an epilogue for it.
 *
 * cuBLASLt's matrices are column-major, so it is told of transpose(y) = weight transpose(x). Which of its kernels is fastest is measured,
 * once for each kind of product; a kind includes the row count, which is a bucket's, so that rows have the same bits in every batch of one
 * bucket. Kernels that split k and add up in storage precision or in no fixed order are not asked for.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "device/cuda/cuda.h"

#define LT_WORKSPACE   ((size_t)32 << 20)
#define MAX_CANDIDATES 8
#define REPEATS        4

/* What the choice of a kernel may depend on. */
typedef struct product_kind {
    int64_t m, ldx, ldw, ldy, ldr;
    int32_t n, k;
    int32_t type, activation;
    uint32_t alignments[4];
    bool has_bias, is_tf32;
} product_kind;

struct tern_cuda_algorithm {
    product_kind kind;
    cublasLtMatmulAlgo_t algorithm;
};

/* Bytes that an address is a multiple of, at most 256. */
static uint32_t alignment_of(const void *data) {
    uint32_t alignment = 256;
    while (alignment > 1 && (uintptr_t)data % alignment != 0) alignment /= 2;
    return alignment;
}

/* Padding is zero, so that kinds can be compared as bytes. */
static void kind_of(product_kind *kind, const tern_cuda_product *p) {
    memset(kind, 0, sizeof *kind);
    kind->m = p->m, kind->n = p->n, kind->k = p->k;
    kind->ldx = p->x.ld, kind->ldw = p->weight.ld, kind->ldy = p->y.ld;
    kind->ldr = p->residual.data != NULL ? p->residual.ld : 0;
    kind->type = (int32_t)p->type, kind->activation = (int32_t)p->activation;
    kind->alignments[0] = alignment_of(p->weight.data), kind->alignments[1] = alignment_of(p->x.data);
    kind->alignments[2] = alignment_of(p->residual.data != NULL ? p->residual.data : p->y.data);
    kind->alignments[3] = alignment_of(p->y.data);
    kind->has_bias = p->bias != NULL, kind->is_tf32 = p->is_tf32;
}

static const struct tern_cuda_algorithm *find(const tern_cuda_algorithms *algorithms, const product_kind *kind) {
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

static cublasLtEpilogue_t epilogue_of(const tern_cuda_product *p) {
    const bool bias = p->bias != NULL;
    if (p->activation == TERN_OP_RELU) return bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    if (p->activation == TERN_OP_GELU || p->activation == TERN_OP_GELU_TANH)
        return bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

static cublasStatus_t describe(descriptors *d, const tern_cuda_product *p) {
    const cudaDataType_t type = p->type == TERN_CUDA_F32 ? CUDA_R_32F : p->type == TERN_CUDA_F16 ? CUDA_R_16F : CUDA_R_16BF;
    *d = (descriptors){0};
    TRY(cublasLtMatmulDescCreate(&d->operation, p->is_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
    TRY(set(d->operation, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T));
    TRY(set(d->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, (int32_t)epilogue_of(p)));
    if (p->bias != NULL) TRY(cublasLtMatmulDescSetAttribute(d->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias, sizeof p->bias));
    const uint64_t n = (uint64_t)p->n, m = (uint64_t)p->m, k = (uint64_t)p->k;
    TRY(cublasLtMatrixLayoutCreate(&d->weight, type, k, n, p->weight.ld));
    TRY(cublasLtMatrixLayoutCreate(&d->x, type, k, m, p->x.ld));
    TRY(cublasLtMatrixLayoutCreate(&d->residual, type, n, m, p->residual.data != NULL ? p->residual.ld : p->y.ld));
    return cublasLtMatrixLayoutCreate(&d->y, type, n, m, p->y.ld);
}

static cublasStatus_t multiply(const tern_cuda_device *device, const descriptors *d, const tern_cuda_product *p,
                               const cublasLtMatmulAlgo_t *algorithm) {
    const float one = 1.0f, beta = p->residual.data != NULL ? 1.0f : 0.0f;
    const void *residual = p->residual.data != NULL ? p->residual.data : p->y.data;
    return cublasLtMatmul(device->lt, d->operation, &one, p->weight.data, d->weight, p->x.data, d->x, &beta, residual, d->residual,
                          p->y.data, d->y, algorithm, device->lt_workspace, LT_WORKSPACE, device->stream);
}

/* ---- Choosing ---- */

static cublasStatus_t suggest(const tern_cuda_device *device, const descriptors *d, const product_kind *kind,
                              cublasLtMatmulHeuristicResult_t *results, int *n) {
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const size_t workspace = LT_WORKSPACE;
    const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
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
static float measure(const tern_cuda_device *device, const descriptors *d, const tern_cuda_product *p,
                     const cublasLtMatmulAlgo_t *algorithm, cudaEvent_t begin, cudaEvent_t end) {
    float time = 0;
    bool ok = multiply(device, d, p, algorithm) == CUBLAS_STATUS_SUCCESS && cudaEventRecord(begin, device->stream) == cudaSuccess;
    for (int i = 0; i < REPEATS && ok; i++) ok = multiply(device, d, p, algorithm) == CUBLAS_STATUS_SUCCESS;
    ok = ok && cudaEventRecord(end, device->stream) == cudaSuccess && cudaEventSynchronize(end) == cudaSuccess &&
         cudaEventElapsedTime(&time, begin, end) == cudaSuccess;
    return ok ? time : 1e30f;
}

static int fastest(const tern_cuda_device *device, const descriptors *d, const tern_cuda_product *p,
                   const cublasLtMatmulHeuristicResult_t *results, int n) {
    cudaEvent_t begin = NULL, end = NULL;
    float least = 1e30f;
    int best = 0;
    if (n > 1 && cudaEventCreate(&begin) == cudaSuccess && cudaEventCreate(&end) == cudaSuccess)
        for (int i = 0; i < n; i++) {
            const float time = measure(device, d, p, &results[i].algo, begin, end);
            if (time < least) least = time, best = i;
        }
    if (begin != NULL) cudaEventDestroy(begin);
    if (end != NULL) cudaEventDestroy(end);
    return best;
}

static tern_status fail(const tern_cuda_device *device, const tern_cuda_product *p, cublasStatus_t status, tern_error *err) {
    return TERN_FAIL(err, status == CUBLAS_STATUS_ALLOC_FAILED ? TERN_E_MEMORY : TERN_E_DEVICE,
                     "%s: cuBLASLt's product of %lld x %d and %d x %d: %s", device->name, (long long)p->m, p->k, p->k, p->n,
                     cublasLtGetStatusString(status));
}

tern_status tern__cuda_product_choose(tern_cuda_algorithms *algorithms, const tern_cuda_device *device, const tern_cuda_product *product,
                                      tern_error *err) {
    product_kind kind;
    kind_of(&kind, product);
    if (find(algorithms, &kind) != NULL) return TERN_OK;
    if (!tern__grow(&algorithms->entries, &algorithms->capacity, algorithms->n + 1, sizeof *algorithms->entries))
        return TERN_FAIL_MEMORY(err, sizeof *algorithms->entries);
    cublasLtMatmulHeuristicResult_t results[MAX_CANDIDATES];
    descriptors d;
    int n = 0;
    cublasStatus_t status = describe(&d, product);
    if (status == CUBLAS_STATUS_SUCCESS) status = suggest(device, &d, &kind, results, &n);
    if (status == CUBLAS_STATUS_SUCCESS && n == 0) status = CUBLAS_STATUS_NOT_SUPPORTED;
    if (status == CUBLAS_STATUS_SUCCESS) {
        struct tern_cuda_algorithm *entry = &algorithms->entries[algorithms->n++];
        entry->kind = kind;
        entry->algorithm = results[fastest(device, &d, product, results, n)].algo;
    }
    descriptors_free(&d);
    return status == CUBLAS_STATUS_SUCCESS ? TERN_OK : fail(device, product, status, err);
}

tern_status tern__cuda_product_run(const tern_cuda_algorithms *algorithms, const tern_cuda_device *device, const tern_cuda_product *product,
                                   tern_error *err) {
    product_kind kind;
    kind_of(&kind, product);
    const struct tern_cuda_algorithm *entry = find(algorithms, &kind);
    if (entry == NULL) return fail(device, product, CUBLAS_STATUS_NOT_INITIALIZED, err);
    descriptors d;
    cublasStatus_t status = describe(&d, product);
    if (status == CUBLAS_STATUS_SUCCESS) status = multiply(device, &d, product, &entry->algorithm);
    descriptors_free(&d);
    return status == CUBLAS_STATUS_SUCCESS ? TERN_OK : fail(device, product, status, err);
}
