/*
 * A binary heap of source numbers, least on top, for merges.
 */
#ifndef SSTFS_ROWS_HEAP_H
#define SSTFS_ROWS_HEAP_H

struct heap {
    unsigned *sources; /* room for all of them, the caller's */
    unsigned count;
    /** <0: source `a` comes before `b`. */
    int (*order)(const void *arg, unsigned a, unsigned b);
    const void *arg;
};

static inline void heap_push(struct heap *heap, unsigned source)
{
    unsigned at = heap->count++;

    while (at > 0) {
        unsigned parent = (at - 1) / 2;
        if (heap->order(heap->arg, heap->sources[parent], source) <= 0)
            break;
        heap->sources[at] = heap->sources[parent];
        at = parent;
    }
    heap->sources[at] = source;
}

/** Takes the top of a heap that is not empty. */
static inline unsigned heap_pop(struct heap *heap)
{
    unsigned top = heap->sources[0];
    unsigned moved = heap->sources[--heap->count];
    unsigned at = 0;

    for (;;) {
        unsigned child = at * 2 + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count &&
            heap->order(heap->arg, heap->sources[child + 1], heap->sources[child]) < 0)
            child++;
        if (heap->order(heap->arg, moved, heap->sources[child]) <= 0)
            break;
        heap->sources[at] = heap->sources[child];
        at = child;
    }
    heap->sources[at] = moved;
    return top;
}

/**
 * Takes all sources that are first alike into `taken`; returns how many: 0 when the heap is empty.
 */
static inline unsigned heap_pop_equal(struct heap *heap, unsigned *taken)
{
    unsigned count = 0;

    while (
        heap->count > 0 && (count == 0 || heap->order(heap->arg, heap->sources[0], taken[0]) == 0))
        taken[count++] = heap_pop(heap);
    return count;
}

#endif
