/* Does an honest machine survive its own crashes? Log before extend, sequence before quote, digest before the evidence leaves,
 * spool, acknowledgement; broker, agent and machine end at any moment, the machine sleeps at any moment (agent/broker/
 * {measured-log,event-log,chain,evidence}.ts, agent/spool.ts, collector/conclude.ts). What each switch removes: README.md.
 *
 * Events are 1 and 2; a log, and the PCR it gives, is its events packed by base 4. Evidence is told apart by a number of its own.
 */
#define EVENTS 2
#define NUMBERS 2
#define STARTS 3
#ifndef CRASHES
#define CRASHES 1
#endif
#define THEN(l,e) (((l)<<2)+(e))

/* the broker */
short written, synced, pcr;       /* the log as written, as on disk, and what the PCR holds */
byte event = 1, doing, epoch, logEpoch, part;
short oldLog;
bit mismatch;
/* evidence: chain = start of the broker */
byte start, begun, begunOnDisk, making, step, identity;
bit used[9];                      /* a quote exists under this chain and number */
bit spooled[3], spoolSynced[3]; byte spoolId[3];
/* under way and at the collector: by identity 1 to 3 */
byte onWay;
bit stored[5], acknowledged[5];
byte ackId, crashes;

inline settle() {                 /* the start of the broker, and each look at the counters */
  if
  :: logEpoch != epoch ->
     oldLog = written; logEpoch = epoch; written = 0; synced = 0;
#ifndef NO_ADOPTION
     if :: oldLog != 0 && pcr == (oldLog & 3) && pcr != 0 -> written = pcr; synced = pcr :: else fi;
#endif
     oldLog = 0
  :: else ->
#ifndef NO_SETTLING
     if :: written != pcr && written != 0 && (written >> 2) == pcr -> pcr = written :: else fi;
#endif
     skip
  fi;
  if :: written != pcr -> mismatch = 1 :: else fi
}

inline crash(power) {
  crashes++; doing = 0; step = 0; making = 0;
  begun = begunOnDisk;
  if :: power -> written = synced; pcr = 0; epoch++;
       part = 1; do :: part <= NUMBERS -> if :: !spoolSynced[part] -> spooled[part] = 0 :: else fi; part++ :: else -> break od; part = 0
  :: else -> synced = written
  fi;
#ifndef ONE_CHAIN
  if :: start < STARTS-1 -> start++; begun = 0; begunOnDisk = 0 :: else fi;
#endif
  settle()
}

active proctype World() {
  do
  /* an event */
#ifdef EXTEND_FIRST
  :: doing == 0 && logEpoch == epoch && event <= EVENTS -> atomic { pcr = THEN(pcr,event); doing = 1 }
  :: doing == 1 -> atomic { written = THEN(written,event); synced = written; event++; doing = 0 }
#else
#ifdef TWO_AHEAD
  :: doing == 0 && logEpoch == epoch && event < EVENTS -> atomic { written = THEN(THEN(written,event),event+1); synced = written; doing = 1 }
  :: doing == 1 -> atomic { pcr = THEN(pcr,event); doing = 2 }
  :: doing == 2 -> atomic { pcr = THEN(pcr,event+1); event = event+2; doing = 0 }
#else
  :: doing == 0 && logEpoch == epoch && event <= EVENTS -> atomic { written = THEN(written,event); doing = 1 }
  :: doing == 1 -> atomic { synced = written; doing = 2 }
  :: doing == 2 -> atomic { pcr = THEN(pcr,event); event++; doing = 0 }
#endif
#endif
  :: doing == 0 && logEpoch != epoch -> atomic { settle() }
  :: mismatch -> assert(false)                                  /* nobody touched anything: log and PCR agree */
  /* evidence: the next number, on disk; the quote; the digest, on disk; the spool; only then it leaves */
  :: step == 0 && doing == 0 && begun < NUMBERS && identity < 3 -> atomic { begun++; making = begun;
#ifdef NUMBER_AFTER_QUOTE
       step = 2
#else
       step = 1
#endif
     }
  :: step == 1 -> atomic {
#ifndef NUMBER_NOT_SYNCED
       begunOnDisk = begun;
#endif
       step = 2 }
  :: step == 2 -> atomic {
       assert(!used[start*3+making]);                           /* one number, one quote */
       used[start*3+making] = 1; identity++; step = 3
     }
  :: step == 3 -> atomic { begunOnDisk = begun; step = 4 }
  :: step == 4 -> atomic { spooled[making] = 1; spoolSynced[making] = 0; spoolId[making] = identity; step = 5 }
  :: step == 5 -> atomic { spoolSynced[making] = 1; making = 0; step = 0 }
  /* sending, as often as it takes; the network loses what it likes */
  :: onWay == 0 -> atomic { if :: part = 1 :: part = 2 fi; if :: spooled[part] && spoolSynced[part] -> onWay = spoolId[part];
#ifdef GAP_BY_NUMBER
       assert(part == 1 || used[start*3+1]);                    /* a number that was begun and never used would be a gap */
#endif
       skip :: else fi; part = 0 }
  :: onWay != 0 -> onWay = 0
  :: onWay != 0 && ackId == 0 -> atomic {
#ifdef ACKNOWLEDGED_FIRST
       ackId = onWay; acknowledged[onWay] = 1;
#else
       stored[onWay] = 1; ackId = onWay; acknowledged[onWay] = 1;
#endif
       onWay = 0 }
#ifdef ACKNOWLEDGED_FIRST
  :: atomic { part = 1; do :: part <= 4 -> if :: acknowledged[part] -> stored[part] = 1 :: else fi; part++ :: else -> break od; part = 0 }
  :: crashes < CRASHES -> atomic { crashes++; part = 1; do :: part <= 4 -> acknowledged[part] = 0; part++ :: else -> break od; part = 0 }
#endif
  /* the acknowledgement arrives: what it names leaves the spool */
  :: ackId != 0 -> atomic { if :: part = 1 :: part = 2 fi;
#ifdef ACKNOWLEDGED_BY_NUMBER
       if :: spooled[part] -> spooled[part] = 0; assert(stored[spoolId[part]]) :: else fi;
#else
       if :: spooled[part] && spoolId[part] == ackId -> spooled[part] = 0; assert(stored[spoolId[part]]) :: else fi;
#endif
       ackId = 0; part = 0 }
  /* ends: of the broker and agent, of power, of wakefulness */
  :: crashes < CRASHES -> atomic { crash(0) }
  :: crashes < CRASHES -> atomic { crash(1) }
  :: epoch < 2 -> atomic { epoch++; pcr = 0 }
#ifdef OLD_STATE
  /* the broker's folder comes from a backup: the numbers in it were used */
  :: crashes < CRASHES -> atomic { crash(0); begun = 0; begunOnDisk = 0 }
#endif
  od
}
