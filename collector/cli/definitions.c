/* SPDX-License-Identifier: MIT */
#include "definitions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "yaml_json.h"

#define FILE_MAX (1u << 20)

/* The file's text, owned by the caller. NULL: has been told. */
static char *file_read(const char *path, size_t *len)
{
    FILE *from = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *text = from ? malloc(FILE_MAX + 1) : NULL;

    if (!from) {
        cli_fail("%s: %s", path, strerror(errno));
        return NULL;
    }
    *len = text ? fread(text, 1, FILE_MAX + 1, from) : 0;
    if (!text || ferror(from) || *len > FILE_MAX) {
        cli_fail("%s: %s", path,
                 !text          ? "out of memory"
                 : ferror(from) ? strerror(errno)
                                : "longer than 1 MiB");
        free(text);
        text = NULL;
    }
    if (from != stdin)
        fclose(from);
    return text;
}

json_t *definitions_read(const char *path, const char *section, json_t **file, int *status)
{
    char error[YAML_ERROR_MAX];
    size_t len;
    char *text = file_read(path, &len);

    *status = CLI_FAILED;
    if (!text)
        return NULL;
    *file = yaml_read_json(text, len, error);
    free(text);
    if (!*file) {
        cli_fail("%s: %s", path, error);
        *status = CLI_USAGE;
        return NULL;
    }
    json_t *list = json_is_object(*file) ? json_object_get(*file, section) : *file;
    if (json_is_array(list))
        return json_incref(list);
    return json_pack("[O]", *file);
}
