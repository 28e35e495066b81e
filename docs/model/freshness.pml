/* Is what counts as fresh fresh, and is a proven connection the attester's? Nonces, channels, deadlines, a collector that is
 * restarted, two machines, and somebody in between who keeps, passes on and repeats everything (collector/{question,judge,
 * challenge,fleet}.ts, attestation/verify/verify.ts). What each switch removes stands in README.md.
 *
 * Signatures are ideal: evidence is a record of who quoted, for which nonce, on which channel, and when.
 */
#define NONCES 2
#define CONNECTIONS 2
#define PIECES 2
#define LAST 2                    /* the clock's end; a challenge is open for one tick after its issue */
#define NONE 255

mtype = { nobody, ours, other, between };     /* whose a connection is; ours: the attester; other: root's second machine */

/* connections: a channel binding is the index, since no two connections have the same */
mtype end[CONNECTIONS] = nobody;
bit up[CONNECTIONS];
byte connections;
#ifdef CONNECTION_BY_NUMBER
byte number[CONNECTIONS], numbered;           /* counted from 0 again after a restart */
#endif

byte nonces;
byte givenOn[NONCES], givenAt[NONCES];
bit kept[NONCES];                 /* in the store, not yet redeemed */
bit opened[NONCES];               /* in the memory of the connection: gone with it */
byte redeemed[NONCES];

byte pieces;
mtype by[PIECES]; byte about[PIECES], channel[PIECES], quotedAt[PIECES];
bit judged[PIECES];

byte now, fresh = NONE, freshQuote, started;
bit restarted, passed;
byte c, n, e;

#ifdef LATE_RENEWS
#define OPEN(i) (kept[i] && givenOn[i] == c)
#else
#ifdef CONNECTION_BY_NUMBER
#define OPEN(i) (kept[i] && number[givenOn[i]] == number[c] && now <= givenAt[i] + 1)
#else
#define OPEN(i) (opened[i] && givenOn[i] == c && up[c] && now <= givenAt[i] + 1)
#endif
#endif
#ifdef NO_REDEEM
#define UNSPENT(i) 1
#else
#define UNSPENT(i) (kept[i])
#endif
#ifdef NO_CHANNEL
#define SAME 1
#else
#ifdef CONNECTION_BY_NUMBER
#define SAME (channel[e] != NONE && number[channel[e]] == number[c])
#else
#define SAME (channel[e] == c)
#endif
#endif
#ifndef NO_REDEEM
#define ONCE (!judged[e])
#else
#define ONCE 1
#endif

/* evidence e comes over connection c */
inline judge() {
  n = about[e]; passed = 1;
#ifndef ANY_KEY
  if :: by[e] != ours -> passed = 0 :: else fi;                       /* the enrolled AK, and no other */
#endif
  if
  :: passed && OPEN(n) && UNSPENT(n) && SAME && ONCE ->
     redeemed[n]++; judged[e] = 1;
#ifndef NO_REDEEM
     kept[n] = 0; opened[n] = 0;
#endif
     assert(redeemed[n] == 1);                                        /* a nonce is answered once */
     assert(now <= givenAt[n] + 1);                                   /* in time */
     assert(by[e] == ours);                                           /* by the attester's own TPM */
     assert(end[c] == ours);                                          /* over its own connection */
     assert(givenOn[n] == c);                         /* the one that asked */
#ifdef FROM_RECEIPT
     fresh = now;
#else
     if :: fresh == NONE || givenAt[n] > fresh -> fresh = givenAt[n] :: else fi;
#endif
     if :: quotedAt[e] > freshQuote -> freshQuote = quotedAt[e] :: else fi;
     assert(fresh <= freshQuote);                                     /* nothing counts as fresher than its quote */
  :: else -> if :: passed && kept[n] && givenOn[n] == channel[e] -> kept[n] = 0; judged[e] = 1 :: else fi   /* history */
  fi;
  passed = 0; n = 0
}

#ifdef FRESH_OVER_RESTART
#define SHOWN_FRESH (fresh != NONE)
#else
#define SHOWN_FRESH (fresh != NONE && fresh >= started)
#endif

active proctype World() {
  do
  :: now < LAST -> now++
  :: connections < CONNECTIONS -> atomic {
       if :: end[connections] = ours :: end[connections] = other :: end[connections] = between fi;
#ifdef CONNECTION_BY_NUMBER
       number[connections] = numbered; numbered++;
#endif
       up[connections] = 1; connections++ }
  /* a challenge: everybody who says hello under the attester's name is given one */
  :: nonces < NONCES && connections > 0 -> atomic {
       c = 0; do :: c < connections-1 -> c++ :: break od;
       if :: up[c] -> givenOn[nonces] = c; givenAt[nonces] = now; kept[nonces] = 1; opened[nonces] = 1;
            nonces++
       :: else fi; c = 0 }
  /* evidence. The attester answers what came over a connection of its own, and writes that channel; who is in between has passed
   * the nonce on over a connection to the attester, whose channel is none of the collector's. The other machine writes what it likes */
  :: pieces < PIECES && nonces > 0 -> atomic {
       n = 0; do :: n < nonces-1 -> n++ :: break od;
       if
       :: end[givenOn[n]] == ours -> by[pieces] = ours; channel[pieces] = givenOn[n]
       :: end[givenOn[n]] != ours -> by[pieces] = ours; channel[pieces] = NONE
       :: by[pieces] = other; channel[pieces] = givenOn[n]
       fi;
       about[pieces] = n; quotedAt[pieces] = now; pieces++; n = 0 }
  /* any of it over any connection, again and again; the attester's own TLS is not broken into */
  :: pieces > 0 && connections > 0 -> atomic {
       e = 0; do :: e < pieces-1 -> e++ :: break od;
       c = 0; do :: c < connections-1 -> c++ :: break od;
#ifdef NO_CHANNEL
#define REACHES (up[c])
#else
#define REACHES (up[c] && (channel[e] != NONE || end[c] != ours))
#endif
       if :: REACHES -> judge() :: else fi; e = 0; c = 0 }
  :: connections > 0 -> atomic { c = 0; do :: c < connections-1 -> c++ :: break od; up[c] = 0;
       n = 0; do :: n < nonces -> if :: givenOn[n] == c -> opened[n] = 0 :: else fi; n++ :: else -> break od; n = 0; c = 0 }
  /* the collector is restarted: connections and what they hold are gone, the store is not */
  :: !restarted -> atomic { restarted = 1; started = now+1; if :: now < LAST -> now++ :: else fi;
       c = 0; do :: c < CONNECTIONS -> up[c] = 0; c++ :: else -> break od; c = 0;
       n = 0; do :: n < NONCES -> opened[n] = 0; n++ :: else -> break od; n = 0;
#ifdef CONNECTION_BY_NUMBER
       numbered = 0;
#endif
       assert(!SHOWN_FRESH)                                           /* nothing is fresh before a new answer */
     }
  od
}
