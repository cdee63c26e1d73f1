/*
 * Assertions about our own mistakes. They stay on in release builds; bytes from disk and input of
 * users are never asserted about, they are errors with a code.
 */
#ifndef SSTFS_ENGINE_ASSERT_H
#define SSTFS_ENGINE_ASSERT_H

_Noreturn void assert_failed(const char *file, int line, const char *condition);

#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            assert_failed(__FILE__, __LINE__, #condition);                                         \
    } while (0)

#endif
