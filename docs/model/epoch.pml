/* Does a verdict hold against root on the machine? One TPM, PCR 23, the log that gives it, evidence in and out of order, the
 * collector's history and standing (attestation/verify/continuity.ts, collector/conclude.ts, attestation/appraise/state.ts).
 *
 * A log is a number, and so is the PCR it gives: 1 is empty, a good event makes 2x of x, a bad one 2x + 1. Hashes never collide
 * here, so PCR and log are one. Root extends, resets the PCR, quotes when it likes, holds quotes back and sends them in any order.
 * What each switch removes stands in README.md.
 */
#ifndef RESETS
#define RESETS 1
#endif
#ifndef SUSPENDS
#define SUSPENDS 1
#endif
#ifndef EVENTS
#define EVENTS 2                  /* in a log: at most 3 */
#endif
#define FULL (1<<EVENTS)
#define EVIDENCE 3                /* pieces of evidence that the collector takes */
#define QUOTES 3
#define HELD 2                    /* quotes that are made and not yet sent */
#define EPOCH(r,s) ((r)*(SUSPENDS+1)+(s))
#define EPOCHS ((RESETS+1)*(SUSPENDS+1))

#define LENGTH(l) ((l)<2 -> 0 : ((l)<4 -> 1 : ((l)<8 -> 2 : 3)))
#define FIRST(l,n) ((n)>=LENGTH(l) -> (l) : ((l)>>(LENGTH(l)-(n))))     /* the first n events of a log */
#define CONTINUES(a,b) (LENGTH(b)>=LENGTH(a) && FIRST(b,LENGTH(a))==(a))
#ifdef LAST_EVENT_ONLY
#define BAD(l) ((l)>1 && ((l)&1))
#else
#define BAD(l) (LENGTH(l)>0 && (l)!=(1<<LENGTH(l)))
#endif
#define EVER_BAD(l) (LENGTH(l)>0 && (l)!=(1<<LENGTH(l)))

/* the machine */
byte pcr = 1, resets, suspends, clock;
bit root;
#ifdef WHOLE_EPOCH
bit wasBad;                       /* a bad event was extended in this log epoch: only the reader of this model knows */
#endif
bit asked;                        /* a challenge is open */
bit made[HELD], inTime[HELD];
#ifdef WHOLE_EPOCH
bit quotedBad[HELD];
#endif
byte quotedReset[HELD], quotedSuspend[HELD], quotedClock[HELD], quotedLog[HELD];

/* the collector */
byte taken;
bit seenPassed[EVIDENCE];         /* an answer, good, and nothing was found */
byte seenReset[EVIDENCE], seenSuspend[EVIDENCE], seenClock[EVIDENCE], seenLog[EVIDENCE];
byte history[EPOCHS];             /* the first log of each epoch, as far as it was shown */
mtype = { unknown, affirming, contraindicated };
mtype standing = unknown;
byte standingReset;
bit cleared;                      /* a named person has cleared, once */
bit shownBad[RESETS+1];           /* verified evidence of this platform epoch showed a bad event, and nobody cleared it since */
#ifdef RESTORE
bit kept, restored;
byte keptTaken, keptReset; byte keptHistory[EPOCHS]; mtype keptStanding;
#endif

byte i, j, h, older, newer, due, past;
bit found, bad;

#define BEFORE(r,s,c,r2,s2,c2) ((r)<(r2) || ((r)==(r2) && ((s)<(s2) || ((s)==(s2) && (c)<(c2)))))

/* the neighbours by quote: EVIDENCE stands for none */
inline neighbours() {
  older = EVIDENCE; newer = EVIDENCE; j = 0;
  do
  :: j < taken ->
     if
     :: BEFORE(seenReset[j],seenSuspend[j],seenClock[j],quotedReset[h],quotedSuspend[h],quotedClock[h]) ->
        if :: older == EVIDENCE || BEFORE(seenReset[older],seenSuspend[older],seenClock[older],seenReset[j],seenSuspend[j],seenClock[j]) -> older = j
        :: else fi
     :: seenReset[j]==quotedReset[h] && seenSuspend[j]==quotedSuspend[h] && seenClock[j] > quotedClock[h] ->
        if :: newer == EVIDENCE || seenClock[j] < seenClock[newer] -> newer = j :: else fi
     :: else
     fi; j++
  :: else -> break
  od; j = 0
}

inline continuity() {
  past = history[EPOCH(quotedReset[h],quotedSuspend[h])];
#ifdef EPOCH_BY_BOOT_ID
  if :: root -> past = 1 :: skip fi;                          /* root names another boot: nothing was seen of it */
#endif
#ifdef COMPARE_WITH_LAST
  if :: taken>0 && seenReset[taken-1]==quotedReset[h] && seenSuspend[taken-1]==quotedSuspend[h] -> past = seenLog[taken-1] :: else fi;
#endif
  due = 0;
  if :: older < EVIDENCE && seenReset[older]==quotedReset[h] && seenSuspend[older]==quotedSuspend[h] -> due = LENGTH(seenLog[older]) :: else fi;
  if :: LENGTH(quotedLog[h]) > due -> due = LENGTH(quotedLog[h]) :: else fi;
#ifndef LATE_AS_NEWEST
  if :: !inTime[h] -> past = FIRST(past,due) :: else fi;       /* M7: late evidence answers for its own time */
#endif
#ifndef NO_CONTINUITY
  if :: !CONTINUES(past,quotedLog[h]) -> found = 1 :: else fi;
  if :: newer < EVIDENCE && LENGTH(seenLog[newer]) < LENGTH(quotedLog[h]) -> found = 1 :: else fi;
#endif
  due = 0; past = 0
}

inline stand() {
  if
  :: !inTime[h] ->                                             /* a report or a late answer */
#ifdef REPORT_AFFIRMS
     if :: !bad && !found && standing != contraindicated -> standing = affirming :: else fi;
#endif
     if
#ifdef BY_ARRIVAL
     :: bad || found -> standing = contraindicated; standingReset = quotedReset[h]
#else
     :: (bad || found) && quotedReset[h] >= standingReset -> standing = contraindicated; standingReset = quotedReset[h]
#endif
     :: else
     fi
  :: else ->
     if :: quotedReset[h] > standingReset -> standing = unknown; standingReset = quotedReset[h] :: else fi;
#ifdef SUSPEND_CLEARS
     if :: older < EVIDENCE && seenSuspend[older] < quotedSuspend[h] -> standing = unknown :: else fi;
#endif
#ifdef GOOD_CLEARS
     if :: standing == contraindicated && !bad && !found -> standing = unknown :: else fi;
#endif
     if
     :: bad || found -> standing = contraindicated
     :: else -> if :: standing != contraindicated -> standing = affirming :: else fi
     fi
  fi
}

inline submit() {
  neighbours(); found = 0; bad = BAD(quotedLog[h]);
  continuity();
#ifdef HONEST
  assert(!found);                                              /* nobody touched anything: nothing may be found */
#endif
  stand();
  i = EPOCH(quotedReset[h],quotedSuspend[h]);
  if :: CONTINUES(history[i],quotedLog[h]) -> history[i] = quotedLog[h] :: else fi;
  seenReset[taken]=quotedReset[h]; seenSuspend[taken]=quotedSuspend[h]; seenClock[taken]=quotedClock[h]; seenLog[taken]=quotedLog[h];
  if :: EVER_BAD(quotedLog[h]) -> shownBad[quotedReset[h]] = 1 :: else fi;
  /* what evidence of this platform epoch has shown is not forgotten, whatever came after or before it */
  assert(!(standing == affirming && shownBad[standingReset]));
  /* and what passed in a log epoch is never gone from a later log of it that passes, though a person has cleared in between */
  if
  :: inTime[h] && !bad && !found ->
     j = 0;
     do
     :: j < taken ->
        assert(!(seenPassed[j] && seenReset[j]==quotedReset[h] && seenSuspend[j]==quotedSuspend[h] && seenClock[j] < quotedClock[h]
          && !CONTINUES(seenLog[j],quotedLog[h])));
        j++
     :: else -> break
     od; j = 0
  :: else
  fi;
#ifdef WHOLE_EPOCH
  assert(!(standing == affirming && inTime[h] && quotedBad[h]));  /* more than is claimed: nothing bad happened at all */
#endif
#ifdef REPORT_AFFIRMS
  assert(!(standing == affirming && !inTime[h]));
#endif
  seenPassed[taken] = inTime[h] && !bad && !found; taken++;
  i = 0; older = 0; newer = 0; found = 0; bad = 0;
  #ifdef WHOLE_EPOCH
  quotedBad[h]=0;
#endif
  made[h]=0; inTime[h]=0; quotedReset[h]=0; quotedSuspend[h]=0; quotedClock[h]=0; quotedLog[h]=0
}

inline quote() {
  clock++;
  made[h]=1; inTime[h]=asked; quotedReset[h]=resets; quotedSuspend[h]=suspends; quotedClock[h]=clock; quotedLog[h]=pcr
#ifdef WHOLE_EPOCH
  ; quotedBad[h]=wasBad
#endif
}

inline newEpoch() {
  pcr = 1
#ifdef WHOLE_EPOCH
  ; wasBad = 0
#endif
}

active proctype World() {
  atomic { i = 0; do :: i < EPOCHS -> history[i] = 1; i++ :: else -> break od; i = 0 }
  do
  :: pcr < FULL -> pcr = 2*pcr
#ifdef WHOLE_EPOCH
  :: pcr < FULL -> atomic { pcr = 2*pcr+1; wasBad = 1 }
#else
  :: pcr < FULL -> pcr = 2*pcr+1
#endif
#ifndef HONEST
  :: !root -> root = 1
  :: root && pcr != 1 -> pcr = 1                               /* TPM2_PCR_Reset */
#endif
  :: !asked -> atomic { asked = 1; inTime[0] = 0; inTime[1] = 0 }
  :: clock < QUOTES && !made[0] -> atomic { h = 0; quote(); h = 0 }
  :: clock < QUOTES && made[0] && !made[1] -> atomic { h = 1; quote(); h = 0 }
  :: taken < EVIDENCE && made[0] -> atomic { h = 0; if :: inTime[0] -> asked = 0; inTime[1] = 0 :: else fi; submit(); h = 0 }
  :: taken < EVIDENCE && made[1] -> atomic { h = 1; if :: inTime[1] -> asked = 0; inTime[0] = 0 :: else fi; submit(); h = 0 }
  :: asked -> atomic { asked = 0; inTime[0] = 0; inTime[1] = 0 }  /* the deadline passes, or the connection ends */
  :: resets < RESETS -> atomic { resets++; suspends = 0; newEpoch() }
  :: suspends < SUSPENDS -> atomic { suspends++; newEpoch() }
#ifndef HONEST
  :: !cleared && standing == contraindicated -> atomic { cleared = 1; standing = unknown; i = 0; do :: i <= RESETS -> shownBad[i] = 0; i++ :: else -> break od; i = 0 }
#endif
#ifdef RESTORE
  :: !kept -> atomic { kept = 1; keptTaken = taken; keptReset = standingReset; keptStanding = standing;
       i = 0; do :: i < EPOCHS -> keptHistory[i] = history[i]; i++ :: else -> break od; i = 0 }
  :: kept && !restored -> atomic { restored = 1; taken = keptTaken; standingReset = keptReset; standing = keptStanding;
       i = 0; do :: i < EPOCHS -> history[i] = keptHistory[i]; i++ :: else -> break od; i = 0;
       i = taken; do :: i < EVIDENCE -> seenReset[i]=0; seenSuspend[i]=0; seenClock[i]=0; seenLog[i]=0; seenPassed[i]=0; i++ :: else -> break od; i = 0;
       asked = 0; inTime[0] = 0; inTime[1] = 0 }
#endif
  od
}
