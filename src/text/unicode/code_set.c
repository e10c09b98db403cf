/* code_set.c - sets of code points as sorted ranges.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "text/unicode/pattern_class.h"

void tern__code_set_free(tern_code_set *set) {
    free(set->ranges);
    *set = (tern_code_set){0};
}

bool tern__code_set_add(tern_code_set *set, uint32_t first, uint32_t last) {
    if (set->n == set->capacity && !tern__grow(&set->ranges, &set->capacity, set->n + 1, sizeof *set->ranges)) return false;
    set->ranges[set->n++] = (tern_code_range){.first = first, .last = last};
    return true;
}

/* Heap sort: it needs no memory, and ranges mostly come in order. */
static void sift_down(tern_code_range *ranges, size_t root, size_t n) {
    tern_code_range moved = ranges[root];
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && ranges[child + 1].first > ranges[child].first) child++;
        if (ranges[child].first <= moved.first) break;
        ranges[root] = ranges[child];
    }
    ranges[root] = moved;
}

static bool is_sorted(const tern_code_set *set) {
    for (size_t i = 1; i < set->n; i++)
        if (set->ranges[i].first < set->ranges[i - 1].first) return false;
    return true;
}

void tern__code_set_sort(tern_code_set *set) {
    tern_code_range *ranges = set->ranges;
    if (!is_sorted(set)) {
        for (size_t i = set->n / 2; i > 0; i--) sift_down(ranges, i - 1, set->n);
        for (size_t n = set->n; n > 1; n--) {
            tern_code_range largest = ranges[0];
            ranges[0] = ranges[n - 1];
            ranges[n - 1] = largest;
            sift_down(ranges, 0, n - 1);
        }
    }
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++) {
        if (n > 0 && ranges[i].first <= ranges[n - 1].last + 1) {
            if (ranges[i].last > ranges[n - 1].last) ranges[n - 1].last = ranges[i].last;
        } else {
            ranges[n++] = ranges[i];
        }
    }
    set->n = n;
}

bool tern__code_set_add_set(tern_code_set *set, const tern_code_set *other) {
    for (size_t i = 0; i < other->n; i++)
        if (!tern__code_set_add(set, other->ranges[i].first, other->ranges[i].last)) return false;
    tern__code_set_sort(set);
    return true;
}

bool tern__code_set_invert(tern_code_set *set) {
    tern_code_set gaps = {0};
    uint32_t next = 0;
    for (size_t i = 0; i < set->n; i++) {
        if (set->ranges[i].first > next && !tern__code_set_add(&gaps, next, set->ranges[i].first - 1))
            return tern__code_set_free(&gaps), false;
        next = set->ranges[i].last + 1;
    }
    if (next <= TERN_CODE_POINT_MAX && !tern__code_set_add(&gaps, next, TERN_CODE_POINT_MAX)) return tern__code_set_free(&gaps), false;
    tern__code_set_free(set);
    *set = gaps;
    return true;
}

bool tern__code_set_intersect(tern_code_set *set, const tern_code_set *other) {
    tern_code_set common = {0};
    for (size_t i = 0, k = 0; i < set->n && k < other->n;) {
        tern_code_range a = set->ranges[i], b = other->ranges[k];
        uint32_t first = a.first > b.first ? a.first : b.first, last = a.last < b.last ? a.last : b.last;
        if (first <= last && !tern__code_set_add(&common, first, last)) return tern__code_set_free(&common), false;
        if (a.last < b.last) i++;
        else k++;
    }
    tern__code_set_free(set);
    *set = common;
    return true;
}

bool tern__code_set_has(const tern_code_set *set, uint32_t code_point) {
    size_t low = 0, high = set->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (set->ranges[middle].last < code_point) low = middle + 1;
        else high = middle;
    }
    return low < set->n && set->ranges[low].first <= code_point;
}
