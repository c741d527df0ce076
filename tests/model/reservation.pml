/* SPDX-License-Identifier: MIT
 *
 * reservation.pml: the reservation protocol (schema/wire.md, Reservations) in Promela, for spin. run.sh
 * searches every interleaving of what stands here and then shows that each property can fail.
 *
 * What is in it. CALLS calls, one budget of LIMIT, two windows. A call asks to be admitted, up to ASKS times with
 * one id, and gives up at any moment: it does not run, or runs without a grant (a budget that fails open; a
 * gateway that never asked). It costs 0 to 2, whatever was estimated. It tells what became of it by an event in
 * its spool, by settling (2 were used, or it was not made), by both, or, killed in time, by neither. One process
 * is one call: calls that follow each other in one gateway are among the interleavings.
 *
 * Messages take any time and overtake each other. A lost one needs no step of its own: what comes of it is what
 * comes of an ask or a settling that was not sent, of a grant that comes after its call gave up. A denial is
 * not sent: its reader would do what a call may do at any moment.
 *
 * The collector does one transaction after another: it decides and changes memory, commits, replies. It may
 * crash at any instant and any number of times: memory and reply are lost, rows stay. The disk may refuse as
 * often, and then memory must again be what the rows say: for the model that is the same. Nobody sees the
 * collector between these steps, so that they are one `atomic` with the crashes in it. Time passes at any moment:
 * the window changes, a reservation expires (renewing is expiring later).
 *
 * "At last" means: in every state from which nothing follows. There the collector has left its loop and END has
 * been checked; any other such state is an error of the search itself. That such a state always comes as long as
 * crashes and refusals end (here: after two) is what -DENDS shows.
 *
 * Not in it: several budgets (an admission is one transaction over all that match); a partial event and its
 * final one; two events for one reservation; ended reservations that retention has removed.
 *
 *   -DSTRICT     a strict budget; without: one that is not
 *   -DCALLS=n    1 to 3, 2;  -DLIMIT=n  2;  -DASKS=n  2
 *   -DESTIMATES  of 1 or 2; without: all are 1
 *   -DAGAIN      an event and a settling are sent twice, the second after the acknowledgement or before; without:
 *                an event comes again only after a crash or a refusal
 *   -DENDS       for the search for cycles (pan -a)
 *   -DONLY=n     checks property n only
 *   -DBUG_...    a wrong collector; run.sh lists them with the property that must fail
 */
#ifndef CALLS
#define CALLS 2
#endif
#ifndef LIMIT
#define LIMIT 2
#endif
#ifndef ASKS
#define ASKS 2
#endif
#ifdef AGAIN
#define COPIES 2
#else
#define COPIES 1
#endif

/* The properties. Each is checked against the rows and the calls, not against what memory says. */
#define GRANT   1 /* at every grant settled + reserved + presumed <= limit in its window, the grant included */
#define POSTED  2 /* a call posts once: its event's cost, else the usage told; an event in a spool always does */
#define ONCE    3 /* an id has one reservation, and a reservation that was granted is on disk */
#define PRESUME 4 /* strict: what was admitted and is not settled counts, expired or not */
#define END     5 /* at last nothing is reserved, and settled is what the calls told */
#define MEMORY  6 /* between transactions, and after a restart, memory is what the rows say */
#define WINDOW  7 /* a call counts in the window of its admission, and no denial without need: the first is admitted */
#ifdef ONLY
#define CHECK(property, holds) assert(ONLY != property || (holds))
#else
#define CHECK(property, holds) assert(holds)
#endif

#ifdef STRICT
#define IS_STRICT true
#else
#define IS_STRICT false
#endif
#ifdef BUG_FREED
#define PRESUMES false
#else
#define PRESUMES IS_STRICT
#endif

/* What a reservation is, as in the store. */
#define NONE       0
#define OPEN       1
#define TOLD       2 /* settled by what was told */
#define BY_EVENT   3
#define NOT_CALLED 4
#define EXPIRED    5
#define is_settled(state) (state == TOLD || state == BY_EVENT || state == NOT_CALLED)

/* What the collector is doing. */
#define ASK    1
#define SETTLE 2
#define EVENT  3
#define EXPIRE 4
#define OTHER  5

#define USAGE 2 /* what a settling tells that the call cost */

/* Between the calls and the collector. */
byte asks[CALLS];      /* on their way */
bit granted[CALLS];    /* the reply, until it is read */
byte settlings[CALLS]; /* on their way */
byte spool[CALLS];     /* times that the event is still to be acknowledged */
bit window;            /* now */
byte begun, ended;     /* calls */
bit over;              /* the collector has nothing left to do */

/* The truth about the calls. */
byte estimate[CALLS];
byte cost[CALLS];        /* of its event */
bit emitted[CALLS];      /* its event was in the spool */
bit event_window[CALLS]; /* of a call without a grant: when it ran */
bit gone[CALLS];         /* it reads no reply any more */

#define each(i) i : 0 .. CALLS - 1

/* The settling and the event go different ways: either may come first. */
inline run_and_tell() {
    if
    :: true
    :: settlings[me] = COPIES
    fi;
    if
    :: true
    :: emitted[me] = 1;
       spool[me] = COPIES;
       if
       :: !may_run -> event_window[me] = window
       :: else
       fi
    fi;
    leave()
}

inline leave() {
    asked = 0;
    may_run = 0;
    granted[me] = 0;
    gone[me] = 1;
    ended++
}

proctype call(byte me) {
    byte asked;
    bit may_run;

    atomic { /* calls are alike: that they begin in this order leaves nothing out */
        begun == me;
        begun++;
        estimate[me] = 1;
#ifdef ESTIMATES
        if
        :: true
        :: estimate[me] = 2
        fi
#endif
    }
    do
    :: atomic { asked < ASKS -> asked++; asks[me]++ }
    :: atomic { granted[me] -> may_run = 1; run_and_tell(); break }
    :: atomic { run_and_tell(); break } /* without a grant */
    :: atomic { leave(); break }
    od
}

#ifdef BUG_KEPT
#define FREES(next) (next != NOT_CALLED)
#else
#define FREES(next) true
#endif

/* What a reservation was takes back what it held, what it becomes holds its own and posts `amount`. */
inline become(next, amount) {
    if
    :: state[c] == OPEN && FREES(next) -> reserved[at[c]] = reserved[at[c]] - estimate[c]
    :: state[c] == EXPIRED && PRESUMES -> presumed[at[c]] = presumed[at[c]] - estimate[c]
    :: else
    fi;
    if
    :: state[c] == NONE -> at[c] = (about == ASK -> window : event_window[c])
    :: else
    fi;
    if
    :: next == OPEN -> reserved[at[c]] = reserved[at[c]] + estimate[c]
    :: next == EXPIRED && PRESUMES -> presumed[at[c]] = presumed[at[c]] + estimate[c]
    :: else
    fi;
#ifdef BUG_WINDOW
    if
    :: next == BY_EVENT -> settled[at[c]] = settled[at[c]] - posts[c]; posts[c] = 0; at[c] = window
    :: else
    fi;
#endif
    settled[at[c]] = settled[at[c]] + amount - posts[c];
    posts[c] = amount;
    state[c] = next;
    changed = 1
}

/* What the rows hold of a window: sums[0] settled, [1] reserved, [2] presumed. */
inline count(w) {
    sums[0] = 0; sums[1] = 0; sums[2] = 0;
    for (each(i)) {
        if
        :: row[i] != NONE && row_at[i] == w ->
            sums[0] = sums[0] + row_posts[i];
            if
            :: row[i] == OPEN -> sums[1] = sums[1] + estimate[i]
            :: row[i] == EXPIRED && IS_STRICT -> sums[2] = sums[2] + estimate[i]
            :: else
            fi
        :: else
        fi
    }
    i = 0
}

#define counted(w) (settled[w] + reserved[w] + presumed[w])
#ifdef BUG_UNCHECKED
#define fits (settled[window] + reserved[window] + estimate[c] <= LIMIT)
#elif defined(BUG_CARRIED)
#define fits (counted(0) + counted(1) + estimate[c] <= LIMIT)
#else
#define fits (counted(window) + estimate[c] <= LIMIT)
#endif

inline admit() {
    if
#ifdef BUG_LATE_ASK
    :: (state[c] == NONE || state[c] == BY_EVENT && reservations[c] == 0) && fits ->
#else
    :: state[c] == NONE && fits ->
#endif
        count(window);
        CHECK(GRANT, sums[0] + sums[1] + sums[2] + estimate[c] <= LIMIT);
        become(OPEN, 0);
        grants = 1
    :: state[c] == NONE && !fits ->
        count(window);
        CHECK(WINDOW, sums[0] + sums[1] + sums[2] + estimate[c] > LIMIT)
#ifdef BUG_TWICE
    :: state[c] == OPEN && fits -> reserved[at[c]] = reserved[at[c]] + estimate[c]; changed = 1; grants = 1
#else
    :: state[c] == OPEN -> grants = 1
#endif
    :: else
    fi
}

#ifdef BUG_LATE_SETTLE
#define may_settle (state[c] == OPEN || state[c] == EXPIRED || state[c] == BY_EVENT)
#elif defined(BUG_EXPIRED_DEAF)
#define may_settle (state[c] == OPEN)
#else
#define may_settle (state[c] == OPEN || state[c] == EXPIRED)
#endif

inline settle() {
    if
    :: may_settle && tells == TOLD -> become(TOLD, USAGE)
    :: may_settle && tells == NOT_CALLED -> become(NOT_CALLED, 0)
    :: else
    fi
}

inline post() {
    if
#ifdef BUG_EVENT_TWICE
    :: state[c] == BY_EVENT -> become(BY_EVENT, posts[c] + cost[c])
#else
    :: state[c] == BY_EVENT
#endif
#ifdef BUG_BOTH
    :: state[c] == TOLD -> become(BY_EVENT, posts[c] + cost[c])
#elif defined(BUG_TOLD_WINS)
    :: state[c] == TOLD -> become(BY_EVENT, posts[c])
#elif defined(BUG_ESTIMATE)
    :: state[c] == OPEN -> become(BY_EVENT, estimate[c])
#endif
    :: else -> become(BY_EVENT, cost[c])
    fi
}

inline commit() {
    CHECK(WINDOW, row[c] == NONE || row_at[c] == at[c]);
    CHECK(POSTED, row[c] != BY_EVENT && (!is_settled(row[c]) || about == EVENT));
    if
    :: about == ASK -> reservations[c]++
    :: about == EVENT -> events[c]++
    :: else
    fi;
    row[c] = state[c];
    row_at[c] = at[c];
    row_posts[c] = posts[c];
    CHECK(ONCE, reservations[c] <= 1 && !(about == ASK && events[c]));
    CHECK(POSTED, events[c] <= 1 && (about != SETTLE || row[c] == tells));
    CHECK(POSTED, row_posts[c] == (events[c] -> cost[c] : (row[c] == TOLD -> USAGE : 0)));
    event_window[c] = 0;
    compare()
}

/* Memory against the rows; the sum for PRESUME is made another way than count() makes it. */
inline compare() {
    for (w : 0 .. 1) {
        count(w);
        CHECK(MEMORY, settled[w] == sums[0] && reserved[w] == sums[1] && presumed[w] == sums[2]);
        held = 0;
        for (each(i)) {
            if
            :: row[i] != NONE && row_at[i] == w ->
                held = held + (row[i] == OPEN || row[i] == EXPIRED -> estimate[i] : row_posts[i])
            :: else
            fi
        }
        CHECK(PRESUME, !IS_STRICT || counted(w) >= held)
    }
    for (each(i)) {
        CHECK(MEMORY, state[i] == row[i] && at[i] == row_at[i] && posts[i] == row_posts[i])
    }
    held = 0; i = 0; w = 0; sums[0] = 0; sums[1] = 0; sums[2] = 0
}

/* Memory from the rows. */
inline rebuild() {
    for (each(i)) {
        state[i] = row[i];
        at[i] = row_at[i];
        posts[i] = row_posts[i]
    }
    for (w : 0 .. 1) {
        count(w);
        settled[w] = sums[0];
        reserved[w] = sums[1];
#ifdef BUG_FORGOTTEN
        presumed[w] = 0
#else
        presumed[w] = sums[2]
#endif
    }
    i = 0; w = 0
}

/* A crash, or a disk that takes nothing: what is not committed has not been, and who waits gets no answer that
 * helps. */
inline lose() {
    d_step {
#ifdef ENDS
        losses++;
#endif
#ifndef BUG_NOT_UNDONE
        rebuild();
#endif
        compare();
        rest()
    }
}

inline send() {
    if
    :: about == ASK && grants ->
        CHECK(ONCE, reservations[c] == 1);
        granted[c] = !gone[c]
#ifndef BUG_NO_ACK
    :: about == EVENT -> spool[c]--
#endif
    :: else
    fi
}

inline rest() {
    if
    :: events[c] == 0 -> cost[c] = 0
    :: else
    fi;
    c = 0; about = 0; tells = 0; grants = 0; changed = 0; sums[0] = 0; sums[1] = 0; sums[2] = 0
}

#ifdef BUG_NEVER_EXPIRED
#define EXPIRES false
#else
#define EXPIRES true
#endif

/* What a message says is chosen when it is read: nobody has looked before. */
#define TAKE(n)                                                                      \
    :: asks[n] > 0 -> asks[n]--; c = n; about = ASK                                  \
    :: settlings[n] > 0 -> settlings[n]--; c = n; about = SETTLE; tells = TOLD       \
    :: settlings[n] > 0 -> settlings[n]--; c = n; about = SETTLE; tells = NOT_CALLED \
    :: spool[n] > 0 -> c = n; about = EVENT                                          \
    :: spool[n] > 0 && events[n] == 0 -> c = n; about = EVENT; cost[n] = 1           \
    :: spool[n] > 0 && events[n] == 0 -> c = n; about = EVENT; cost[n] = 2           \
    :: state[n] == OPEN && EXPIRES -> c = n; about = EXPIRE
#define IDLE(n) (asks[n] + settlings[n] + spool[n] == 0 && state[n] != OPEN)

#ifdef ENDS
#define MAY_LOSE (losses < 2)
#else
#define MAY_LOSE true
#endif

proctype collector() {
    /* On disk. */
    byte row[CALLS], row_posts[CALLS];
    bit row_at[CALLS];
    byte reservations[CALLS], events[CALLS]; /* that were committed */
    /* In memory. */
    byte state[CALLS], posts[CALLS];
    bit at[CALLS]; /* the window in which it counts */
    byte settled[2], reserved[2], presumed[2];
    /* In the transaction. */
    byte about, c, tells;
    bit grants, changed;
    /* Of the model. */
    byte losses; /* counted with -DENDS only */
    byte i, w, held, sums[3];

    do
    :: atomic {
        if
        TAKE(0)
#if CALLS > 1
        TAKE(1)
#endif
#if CALLS > 2
        TAKE(2)
#endif
        :: window == 0 -> window = 1; about = OTHER
        :: ended == CALLS && IDLE(0) && IDLE(CALLS / 2) && IDLE(CALLS - 1) -> break
        fi;
        true; /* nothing may jump into a d_step */
        d_step {
            if
            :: about == ASK -> admit()
            :: about == SETTLE -> settle()
            :: about == EVENT -> post()
            :: about == EXPIRE -> become(EXPIRED, 0)
            :: else
            fi;
#ifdef BUG_REPLY_FIRST
            send()
#elif defined(BUG_ACK_FIRST)
            if
            :: about == EVENT -> send()
            :: else
            fi
#endif
        }
        if
        :: changed ->
            if
            :: d_step { commit(); changed = 0 }
            :: MAY_LOSE -> lose()
            fi
        :: else
        fi;
        if
        :: about == EVENT || grants ->
            if
            :: send()
            :: MAY_LOSE -> lose()
            fi
        :: else
        fi;
        CHECK(POSTED, about != SETTLE || row[c] == NONE || is_settled(row[c]));
        rest()
    }
    od;
    true;
    d_step {
        for (each(i)) {
            CHECK(POSTED, !emitted[i] || events[i] == 1);
            held = held + (emitted[i] -> cost[i] : (row[i] == TOLD -> USAGE : 0))
        }
        CHECK(END, reserved[0] + reserved[1] == 0);
        CHECK(END, settled[0] + settled[1] == held);
        CHECK(END, IS_STRICT || presumed[0] + presumed[1] == 0);
        held = 0; i = 0; over = 1
    }
}

init {
    byte n;

    atomic {
        run collector();
        for (each(n)) {
            run call(n)
        }
    }
}

#ifdef ENDS
ltl ends { <> over }
#endif
