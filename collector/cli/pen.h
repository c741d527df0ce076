/* SPDX-License-Identifier: MIT
 *
 * pen.h: writes the cells of a line and goes to the next one, indented, where the terminal ends.
 */
#ifndef COLLECTOR_CLI_PEN_H
#define COLLECTOR_CLI_PEN_H

#include "cli.h"

struct pen {
    FILE *to;
    unsigned width, indent; /* width 0: no end; indent: of the lines that follow the first */
    bool colour;
    size_t at, gap; /* characters written; blanks due before the next cell */
    bool wrapped;
};

/* A cell of at least `wide` characters, two blanks before the next one. left: aligned so. code: an SGR
 * colour or NULL. Where a line has been wrapped already, cells are only as wide as their text. */
void pen_cell(struct pen *p, const char *text, size_t wide, bool left, const char *code);

/* Ends the line, which may be empty. */
void pen_end(struct pen *p);

#endif
