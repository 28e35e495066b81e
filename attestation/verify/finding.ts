/**
 * What can be found, what does it mean for the verdict, and what should a person do? One table.
 * An id is stored, alerted on and documented (docs/the-findings.md): it may be added, never renamed.
 */
import { plainLine } from "../wire/text.ts"

/**
 * refuses: the evidence is not authentic; contraindicates: authentic, and not acceptable;
 * warns: acceptable only as a warning; notes: said, and without effect on the tier.
 */
export type Effect = "refuses" | "contraindicates" | "warns" | "notes"

type Row = { readonly effect: Effect; readonly means: string; readonly fix: string }

const row = (effect: Effect, means: string, fix: string): Row => ({ effect, means, fix })

export const findings = {
  "evidence.malformed": row(
    "refuses",
    "the evidence is not in the one spelling that the format allows",
    "compare the versions of agent and verifier with assay --version; if they agree, look at what stands between them",
  ),
  "evidence.key-unknown": row(
    "refuses",
    "the envelope names a key that is not pinned for this attester",
    "if the evidence key was renewed, enrol the attester again; otherwise somebody else signed this",
  ),
  "evidence.signature": row(
    "refuses",
    "the envelope's signature does not fit its payload",
    "the evidence was altered or signed by another key: fetch it again from its source",
  ),
  "evidence.attester": row(
    "refuses",
    "the evidence is another attester's",
    "compare the attester's name with the one that you asked for",
  ),
  "evidence.audience": row(
    "refuses",
    "the evidence was made for another verifier",
    "ask the attester yourself; if this collector was given another name, join it again",
  ),
  "attester.retired": row(
    "refuses",
    "a named person retired this attester: nothing that it says counts any more",
    "stop its agent; if the machine is to come back, invite it with --accept-ek and its EK's name",
  ),
  "evidence.kind": row(
    "refuses",
    "a report came where an answer to a nonce is needed",
    "challenge the attester and keep the answer; a report is history only",
  ),
  "nonce.mismatch": row(
    "refuses",
    "the evidence answers another nonce",
    "this is an answer to somebody else's challenge, or an old one: challenge again",
  ),
  "nonce.unknown": row(
    "refuses",
    "the nonce was never issued to this attester on this connection, was answered already, or has expired",
    "challenge again; if it repeats, the answer takes longer than the deadline or is being replayed",
  ),
  "nonce.not-checked": row(
    "notes",
    "this answers a nonce that was not shown to this verifier: nothing is said of freshness",
    "give the nonce that you asked with; without it an answer is history, as a report is",
  ),
  "channel.mismatch": row(
    "refuses",
    "the evidence was made for another connection",
    "something relays or ends TLS between the attester and this verifier: let the connection pass through untouched",
  ),
  "channel.not-checkable": row(
    "notes",
    "only the two ends of the connection that asked can compare its channel binding",
    "nothing to do; the collector's own result says whether it compared it",
  ),
  "credential.missing": row(
    "refuses",
    "the answer does not carry the secret that only the TPM with this EK and AK could recover, or claims one that nobody gave it",
    "the AK is not in the TPM whose EK you were shown: do not trust the name; for an old answer, give the secret that was asked with",
  ),
  "ak.name": row(
    "refuses",
    "the evidence names another attestation key than the pinned one",
    "if the AK was renewed, enrol the attester again; otherwise this is another TPM",
  ),
  "ak.unfit": row(
    "refuses",
    "the pinned key is no attestation key: it could sign what no TPM made",
    "enrol the attester again with an agent that makes a restricted signing key",
  ),
  "ak.collectors-word": row(
    "warns",
    "that this AK lives in that machine's TPM is the collector's word",
    "give the AK with --ak, or challenge the machine so that its TPM proves it",
  ),
  "machine.collectors-word": row(
    "warns",
    "that this EK is that machine's is the collector's word",
    "compare the attester's name with one that you know from the machine's maker or from its owner",
  ),
  "quote.malformed": row(
    "refuses",
    "what stands for a quote is none: wrong magic, wrong type or wrong structure",
    "look at the agent's version and TPM; a quote of another structure is never accepted",
  ),
  "quote.signature": row(
    "refuses",
    "the quote is not signed by the pinned attestation key",
    "another TPM or a program made this quote: do not trust the machine until it is explained",
  ),
  "quote.qualifying-data": row(
    "refuses",
    "the quote was made for another nonce, channel, chain, log or body than the evidence shows",
    "the evidence was put together from parts: fetch it again from its source",
  ),
  "quote.selection": row(
    "refuses",
    "the quote does not cover the PCRs that are judged, or covers others than the evidence says",
    "set pcrs in agent.toml so that it covers what the verifier asks for",
  ),
  "quote.pcr-digest": row(
    "refuses",
    "the PCR values shown are not the quoted ones",
    "the values were altered, or a PCR changed between reading and quoting: challenge again",
  ),
  "audit.unavailable": row(
    "notes",
    "command audit of TPM2_PCR_Reset is not armed: of a reset of the log's PCR only what was seen before can tell",
    "join again where the TPM's owner authorisation is empty: joining arms it; or take away what else is audited",
  ),
  "audit.signature": row(
    "refuses",
    "what stands for a command audit is none, or is not signed by the attestation key",
    "another TPM or a program made this: do not trust the machine until it is explained",
  ),
  "audit.unbound": row(
    "refuses",
    "the command audit belongs to another nonce, quote, epoch or list of commands than the evidence shows",
    "the evidence was put together from parts: fetch it again from its source",
  ),
  "pcr.reset-possible": row(
    "contraindicates",
    "a PCR may have been reset in this epoch of the log: what was measured before may be gone from it",
    "find out who could use the TPM, then reboot: the finding lasts as long as this epoch of the log",
  ),
  "log.missing": row(
    "refuses",
    "a log that the evidence names did not come with it",
    "export the evidence again with its logs",
  ),
  "log.unknown": row(
    "refuses",
    "the evidence names a log that this verifier does not know",
    "bring the verifier to the agent's version",
  ),
  "log.pcr": row(
    "refuses",
    "the log is in another PCR than the verifier demands",
    "set tpm.pcr in agent.toml and the verifier's to the same PCR",
  ),
  "log.digest": row(
    "refuses",
    "the log is not the one that the evidence names",
    "the log was edited, cut or exchanged after the quote: fetch it again; if it repeats, treat the machine as altered",
  ),
  "log.malformed": row(
    "refuses",
    "the log is not in the one spelling that the format allows",
    "compare the versions of agent and verifier; if they agree, the log was written by something else",
  ),
  "log.replay": row(
    "refuses",
    "the log does not reproduce the quoted PCR: something extended it besides the agent, reset it, or changed the log",
    "find what else uses that PCR, then reboot: the log begins anew with the next start",
  ),
  "log.epoch": row(
    "refuses",
    "the log begins in another epoch than the quoted counters say",
    "restart the agent so that it opens a log for this boot; if it repeats, the log was carried over",
  ),
  "time.ahead": row(
    "warns",
    "the attester's clock is ahead of the verifier's",
    "set the clocks of both machines (NTP)",
  ),
  "time.behind": row(
    "warns",
    "the attester's clock is behind: it says that it answered before it was asked",
    "set the clocks of both machines (NTP)",
  ),
  "chain.replayed": row(
    "refuses",
    "the same place in the chain was seen before with other evidence",
    "two machines use one identity, or a spool was restored: enrol the attester again after finding out which",
  ),
  "chain.gap": row(
    "notes",
    "evidence between the last seen and this is missing: history is lost, and present verdicts are not held down by it",
    "ask the agent's spool for it; the gap is shown until a named person closes it",
  ),
  "chain.restarted": row("notes", "the agent opened a new chain", "nothing to do after a restart of the agent"),
  "clock.backwards": row(
    "contraindicates",
    "the TPM's clock or counters went backwards",
    "this is an older state of the TPM, or another one: find out before trusting the machine",
  ),
  "log.rewritten": row(
    "contraindicates",
    "the log is not a continuation of the one seen before in the same epoch",
    "the PCR was reset and its history written anew: reboot the machine and find out who could use the TPM",
  ),
  "epoch.reset": row("notes", "the TPM was reset since the evidence before", "nothing to do after a reboot"),
  "epoch.boot-unchanged": row(
    "warns",
    "the TPM was reset while the same kernel ran on: what it had measured before is gone from it",
    "find out who could reset the TPM alone: a hand on its bus, or a software TPM that was restarted",
  ),
  "hash.unbound": row(
    "warns",
    "a full reading was asked for, and the log does not show that it began and ended after that",
    "challenge again; if it repeats, the agent says that it read everything and did not",
  ),
  "store.restored": row(
    "warns",
    "this verifier's store came out of a backup: what it has forgotten may contradict the machine",
    "reboot the machine: the finding ends with the boot after the first answer since; what the agent kept fills the gap",
  ),
  "history.not-checked": row(
    "notes",
    "this verifier saw nothing of this attester before: continuity is not checked",
    "a collector checks it; keep the evidence to check the next against it",
  ),
  "root.unendorsed": row(
    "warns",
    "no TPM maker vouches for this TPM: it may be software",
    "use a TPM whose EK certificate leads to a maker's root, or let a named person accept this EK",
  ),
  "pin.none": row(
    "warns",
    "nobody has approved what this machine may run",
    "have the owners of weights, runtime and key approve pins; until then a match reads: as recorded",
  ),
  "pin.expired": row(
    "warns",
    "what is approved has expired, and nobody has approved what comes after",
    "propose the next version, or the same again with later dates: assay pin propose",
  ),
  "pin.differs": row(
    "contraindicates",
    "something measured is not what is approved",
    "if the change was intended, have it approved: assay pin propose; otherwise restore what was approved and find out who changed it",
  ),
  "pin.missing": row(
    "contraindicates",
    "something approved was not measured",
    "find out why the agent no longer sees it: a source switched off, a file gone; or approve a pin without it",
  ),
  "pin.unlisted": row(
    "warns",
    "something was measured that the approved pin does not list",
    "have it approved after looking at it, remove it from the machine, or let the pin say that it is not judged",
  ),
  "pin.earlier": row(
    "notes",
    "earlier in this epoch the machine showed what was approved before",
    "nothing to do; it leaves the log with the next boot",
  ),
  "pin.ignored": row(
    "notes",
    "the approved pin says not to judge this: nothing is said of it",
    "pin it, once somebody can answer for it",
  ),
  "authority.none": row(
    "warns",
    "no name can be given for this answer: it is a gap",
    "give the gap an owner and a date: assay gaps plan; then close it",
  ),
  "key.uncertified": row(
    "warns",
    "the firm's root key has not certified the keys of this attester: whose they are is the collector's word",
    "have the holder of the root key certify the enrolment: assay key certify",
  ),
  "key.certified-otherwise": row(
    "contraindicates",
    "the firm's root key certified other keys for this attester than these",
    "if the keys were renewed, certify the new enrolment; otherwise find out who enrolled this machine",
  ),
  "root.operators-word": row(
    "warns",
    "that this TPM's root counts is an operator's word, and stands in no approved policy",
    "have the policy admit the root, or this EK, by the quorum: assay policy propose",
  ),
  "tpm.software": row(
    "warns",
    "the TPM is software: whoever holds its files holds its keys",
    "use a real TPM; for training and tests the policy can admit a software one by name",
  ),
  "tpm.software-admitted": row(
    "notes",
    "the TPM is software, and the policy admits it by name: whoever holds its files holds its keys",
    "do not rely on such a machine for anything but training and tests",
  ),
  "measurement.none": row(
    "warns",
    "the log holds no measurement: nothing is said about what this machine runs",
    "wait for the agent's first measurement, or look at its log for why there is none",
  ),
  "reference.none": row(
    "warns",
    "nothing was recorded to compare this machine with",
    "record a proposal from a known-good state: assay reference record",
  ),
  "reference.differs": row(
    "contraindicates",
    "a measured fact differs from the recorded one",
    "if the change was intended, record a new reference; otherwise restore what was there and find out who changed it",
  ),
  "reference.missing": row(
    "contraindicates",
    "something recorded was not measured",
    "find out why the agent no longer sees it: a source switched off, a file gone",
  ),
  "reference.unlisted": row(
    "warns",
    "something was measured that the reference does not list",
    "add it to the reference after looking at it, or remove it from the machine",
  ),
  "weights.none": row(
    "warns",
    "the attester was told of no weights: nothing is said about any model",
    "name the models in agent.toml under [[weights]]",
  ),
  "source.contradiction": row(
    "contraindicates",
    "two that speak of the same part of the machine disagree: driver and program, module and library, kernel and firmware",
    "reboot if an upgrade is under way; if they still disagree, find out which of them was altered",
  ),
  "source.unreadable": row(
    "warns",
    "something is there that the agent cannot read",
    "where the kernel refuses the read (EIO), restore the file and look at the disk and who may write to it; otherwise give the agent's user the right to read it, or install the package that ships the reader",
  ),
  "boot.firmware": row(
    "contraindicates",
    "the machine was started by another firmware than recorded",
    "if the firmware was updated, record a new reference; otherwise ask its maker what the digest belongs to, and treat the machine as altered",
  ),
  "boot.secure-boot": row(
    "contraindicates",
    "Secure Boot is not in the recorded state, or another key vouched for what was started",
    "switch Secure Boot back in the firmware's settings; if another boot loader was installed on purpose, record a new reference",
  ),
  "boot.keys": row(
    "contraindicates",
    "the keys and lists that Secure Boot goes by are not the recorded ones",
    "if an update of db or dbx was installed (fwupdmgr), record a new reference; otherwise find out who enrolled a key",
  ),
  "boot.chain": row(
    "contraindicates",
    "another program than recorded was started before the kernel",
    "if shim or the boot loader was updated, record a new reference; otherwise look at the files of the EFI partition",
  ),
  "boot.loader": row(
    "contraindicates",
    "the boot loader ran other commands or read other files than recorded",
    "compare grub.cfg with the one of before; somebody may have typed at the boot menu. After an intended change record a new reference",
  ),
  "boot.kernel": row(
    "contraindicates",
    "another kernel or initrd was started than recorded",
    "if the kernel was updated, record a new reference after looking at the package; otherwise start the recorded kernel again",
  ),
  "boot.command-line": row(
    "contraindicates",
    "the kernel was started with other parameters than recorded",
    "look at /proc/cmdline and the boot loader's configuration: take the parameter out, or record a new reference if it is meant",
  ),
  "boot.settings": row(
    "warns",
    "the firmware's settings, the boot order or the partition table are not as recorded",
    "if a disk or a setting was changed on purpose, record a new reference; where they change by themselves, ignore this part",
  ),
  "boot.userspace": row(
    "contraindicates",
    "systemd measured another machine identity or volume than recorded",
    "if the disk or its key was changed on purpose, record a new reference; otherwise find out which volume was started",
  ),
  "files.differs": row(
    "contraindicates",
    "a file was executed or loaded with another content than recorded",
    "if it was updated, record a new reference; otherwise put the file back, reboot, and find out who replaced it",
  ),
  "files.module": row(
    "contraindicates",
    "a kernel module was loaded that the list does not hold",
    "find out who loaded it; if it is meant, record a new reference",
  ),
  "files.replaced": row(
    "warns",
    "a kernel module was replaced while the machine ran: two contents were loaded under one name",
    "if a package was upgraded, reboot; otherwise find out who put the second one there",
  ),
  "files.unlisted": row(
    "warns",
    "a file was executed or loaded that the list does not hold",
    "look at the file; if it may run, record a new reference, or ignore the folder by --ignore",
  ),
  "firmware.no-log": row(
    "warns",
    "there is no firmware log: nothing is said of how this machine booted",
    "boot through the EFI stub (systemd-boot, or GRUB's linuxefi), or give the agent the right to read /sys/kernel/security/tpm0",
  ),
  "firmware.unreadable": row(
    "warns",
    "there is a firmware log, and the agent may not read it: nothing is said of how this machine booted",
    "let the agent read /sys/kernel/security/tpm0 and /run/log/systemd: both are root's, and its unit's reader may be given them",
  ),
  "firmware.malformed": row(
    "contraindicates",
    "the firmware log is not in the format that the specification allows",
    "read the log with tpm2_eventlog; if that fails too, the firmware writes it so: report it to the maker. Otherwise the log was edited",
  ),
  "firmware.bank": row(
    "warns",
    "the firmware log has no digests of the quoted bank: nothing is said of how this machine booted",
    "activate that bank in the firmware's settings, or update the firmware",
  ),
  "firmware.replay": row(
    "contraindicates",
    "the logs do not come to the quoted value of a PCR: something extended it without a log, or a log was changed",
    "find what else extends that PCR, and give the agent the right to read systemd's log; if nothing does, treat the machine as altered",
  ),
  "firmware.unaccounted": row(
    "warns",
    "a PCR was extended and no log says with what",
    "let the agent read systemd's log, or find the program that extends this PCR",
  ),
  "firmware.not-quoted": row(
    "notes",
    "the log has events of PCRs that the quote does not cover: nothing is said of them",
    "add these PCRs to pcrs in agent.toml",
  ),
  "firmware.grammar": row(
    "contraindicates",
    "the firmware log misleads: an event is not what it says, or comes twice or too late",
    "compare with the log of the boot before; if the firmware always writes it so, report it to the maker",
  ),
  "firmware.unrecognised": row(
    "warns",
    "the firmware log holds an event where none of its kind belongs, or lacks one",
    "nothing is said of this event; compare it with the log of a machine of the same model",
  ),
  "firmware.quirk": row(
    "warns",
    "the firmware log only adds up with an admitted defect of the firmware",
    "update the firmware, then stop admitting the defect",
  ),
  "userspace.malformed": row(
    "contraindicates",
    "systemd's measurement log is not in its format",
    "look at /run/log/systemd/tpm2-measure.log; if systemd itself wrote it so, bring the verifier to its version",
  ),
  "ima.no-log": row(
    "warns",
    "there is no IMA log: nothing is said of which files were executed",
    "boot with an IMA policy (ima_policy=tcb), or give the agent the right to read /sys/kernel/security/ima",
  ),
  "ima.unreadable": row(
    "warns",
    "there is an IMA log, and the agent may not read it: nothing is said of which files were executed",
    "let the agent read /sys/kernel/security/ima: it is root's, and its unit's reader may be given it",
  ),
  "ima.malformed": row(
    "contraindicates",
    "the IMA log is not in the format that the kernel writes",
    "read it with evmctl ima_measurement; if that works, bring the verifier to the kernel's version, otherwise the log was edited",
  ),
  "ima.replay": row(
    "contraindicates",
    "no part of the IMA log comes to the quoted value of PCR 10: an entry was altered, removed or added, or entries from before a kexec are missing",
    "quote first, then read the log; if it repeats after a reboot, treat the machine as altered",
  ),
  "ima.entry": row(
    "contraindicates",
    "an entry of the IMA log does not fit its own digest",
    "the entry was altered: look at what it names",
  ),
  "ima.boot-aggregate": row(
    "contraindicates",
    "the IMA log begins with the digest of another boot",
    "the log was put together from two boots: treat the machine as altered",
  ),
  "ima.unbound": row(
    "notes",
    "that the IMA log begins with this boot could not be compared",
    "quote PCRs 0 to 9 of the bank that IMA uses, and send the firmware log",
  ),
  "ima.violation": row(
    "warns",
    "the kernel could not measure a file because it was written while in use",
    "look at the files named: what was read may differ from what was measured",
  ),
  "ima.padded": row(
    "warns",
    "the kernel extended PCR 10 with padded SHA-1 digests: collisions are possible",
    "use a kernel that has SHA-256 built in, 5.8 or later",
  ),
  "ima.template": row(
    "warns",
    "the IMA log has entries of a template that this verifier does not know: nothing is said of them",
    "use one of the kernel's own templates (ima_template=ima-ngv2)",
  ),
  "ima.no-progress": row(
    "warns",
    "the IMA log grows, and quotes cover no more of it than before",
    "read the log after the quote; if it repeats, restart the agent",
  ),
  "ima.not-quoted": row(
    "notes",
    "the quote does not cover PCR 10: nothing is said of the IMA log",
    "add 10 to pcrs in agent.toml",
  ),
} as const satisfies Record<string, Row>

export type FindingId = keyof typeof findings

/** One thing found: about which component (a source and subject, or a part of the evidence), what was seen, what was wanted. */
export type Finding = {
  readonly id: FindingId
  readonly component: string
  readonly seen: string
  readonly wanted: string
}

export const finding = (id: FindingId, component: string, seen: string, wanted: string): Finding => ({
  id,
  component: plainLine(component, 1200),
  seen: plainLine(seen, 4096),
  wanted: plainLine(wanted, 4096),
})

/** Whether any of `found` keeps the evidence from being authentic. */
export const refused = (found: readonly Finding[]): boolean =>
  found.some(each => findings[each.id].effect === "refuses")
