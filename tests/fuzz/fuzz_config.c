/* SPDX-License-Identifier: MIT
 *
 * fuzz_config.c: any bytes as a configuration file. What is taken must print back to what reads the
 * same; what is refused must say why in one line.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../collector/daemon/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Owned by the caller. */
static char *print(const struct config *c, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);

    must(out != NULL);
    config_print(c, out);
    must(fclose(out) == 0);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config first, second;
    char error[CONFIG_ERROR_MAX] = "";
    size_t len, len_again;

    config_default(&first);
    if (config_parse("fuzz.yaml", (const char *)data, size, &first, error) != 0) {
        must(strlen(error) > 0 && strchr(error, '\n') == NULL);
        return 0;
    }
    char *text = print(&first, &len);
    config_default(&second);
    must(config_parse("printed.yaml", text, len, &second, error) == 0);
    char *again = print(&second, &len_again);
    must(len == len_again && memcmp(text, again, len) == 0);
    free(text);
    free(again);
    config_fini(&first);
    config_fini(&second);
    return 0;
}
