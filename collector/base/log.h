/* SPDX-License-Identifier: MIT
 *
 * log.h: key=value lines on stderr, levels, at most LOG_BURST lines per call site in LOG_WINDOW_MS
 * (what was held back is counted in the site's next line). Any thread.
 */
#ifndef COLLECTOR_LOG_H
#define COLLECTOR_LOG_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

#define LOG_BURST     10
#define LOG_WINDOW_MS 10000

/* One per call site, static. */
struct log_site {
    _Atomic int64_t window_ms;
    _Atomic uint32_t lines;
    _Atomic uint32_t held_back;
};

void log_set_level(enum log_level level);
int log_level_code(const char *name); /* or -1 */
const char *log_level_name(enum log_level level);

/* event: one word. fmt: further key=value pairs; quote foreign text with log_quote. */
__attribute__((format(printf, 4, 5))) void log_line(struct log_site *site, enum log_level level,
                                                    const char *event, const char *fmt, ...);

/* A foreign text made harmless: "quoted", control characters, quotes and what is not UTF-8 escaped,
 * cut to fit. */
const char *log_quote(const void *text, size_t len, char *buf, size_t size);

#define log_at(level, event, ...)                            \
    do {                                                     \
        static struct log_site log_site_here;                \
        log_line(&log_site_here, level, event, __VA_ARGS__); \
    } while (0)
#define log_error(event, ...) log_at(LOG_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)  log_at(LOG_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_at(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_at(LOG_DEBUG, event, __VA_ARGS__)

#endif
