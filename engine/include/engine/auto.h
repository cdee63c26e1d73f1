/*
 * Small compiler helpers: scoped cleanup, must-use results, array length.
 *
 * AUTO(x_freep) releases a local when it goes out of scope, so that every early return is right.
 */
#ifndef SSTFS_ENGINE_AUTO_H
#define SSTFS_ENGINE_AUTO_H

#include <stdlib.h>

#define AUTO(cleanup_function) __attribute__((cleanup(cleanup_function)))
#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first_index)                                                     \
    __attribute__((format(printf, format_index, first_index)))
#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/** Cleanup for a pointer that came from malloc: `AUTO(freep) char *p = NULL;` */
static inline void freep(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

#endif
