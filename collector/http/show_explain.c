/* SPDX-License-Identifier: MIT */
#include "govern.h"
#include "routes.h"

void show_explain(struct request *r)
{
    struct problem p;

    problem_fill(&p, 404, "nothing is here yet");
    answer_problem(r, &p);
}
