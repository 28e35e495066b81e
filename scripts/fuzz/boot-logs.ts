/** Which parsers read what a boot left behind? The firmware's log, systemd's and IMA's, each with what is then said of it. */
import { firmwareFacts } from "../../attestation/tcg/firmware/facts.ts"
import { measuredEvents } from "../../attestation/tcg/firmware/content.ts"
import { grammarFaults } from "../../attestation/tcg/firmware/grammar.ts"
import { readFirmwareLog } from "../../attestation/tcg/firmware/log.ts"
import { replayFirmwareLog, startupOf } from "../../attestation/tcg/firmware/replay.ts"
import { subjectOf } from "../../attestation/tcg/firmware/variable.ts"
import { openImaLog } from "../../attestation/tcg/ima/log.ts"
import { eachImaEvent, imaStart, replayImaLog } from "../../attestation/tcg/ima/replay.ts"
import { readMeasureLog, replayTogether } from "../../attestation/tcg/measure-log.ts"
import type { PcrValues } from "../../attestation/tcg/pcr.ts"
import { replayFirmware } from "../../attestation/verify/firmware-log.ts"
import { Malformed } from "../../attestation/wire/codec.ts"
import { sameBytes, toHex } from "../../attestation/wire/text.ts"
import { agileLog, boot, sha1Log } from "../../test/firmware-maker.ts"
import { aggregate, binaryLog, digestOf, extension, file, type Made, name, named } from "../../test/ima-maker.ts"
import { Broken, type Target } from "./target.ts"

const all = new Set(Array.from({ length: 24 }, (_, pcr) => pcr))
const firmware = agileLog(["sha1", "sha256"], boot)

function replayed(bytes: Uint8Array): PcrValues {
  const log = readFirmwareLog(bytes)
  return replayFirmwareLog(log, "sha256", startupOf(log)).values
}

const quoted = replayed(firmware)

/** Whatever was altered, the digests of a PCR that is said to be proven are those of the machine. */
function provesTheSame(bytes: Uint8Array): void {
  const honest = firmwareFacts(
    readFirmwareLog(firmware),
    measuredEvents(readFirmwareLog(firmware), "sha256"),
    all,
  ).digests
  const { facts, findings } = replayFirmware({ firmware: bytes, userspace: "none" }, "sha256", quoted, [])
  if (typeof facts === "string") {
    if (findings.length === 0) throw new Broken("nothing proven, and no finding")
    return
  }
  for (const pcr of facts.proven) {
    const of = (digests: typeof honest): string => digests.filter(([each]) => each === pcr).join(" ")
    if (of(facts.digests) !== of(honest)) throw new Broken(`other digests prove PCR ${pcr}`)
  }
}

const record = (pcr: number, text: string): string => {
  const digests = [{ hashAlg: "sha256", digest: toHex(digestOf("sha256", text)) }]
  return `\u001e${JSON.stringify({ pcr, digests, content_type: "systemd", content: { string: text, eventType: "phase" } })}\n`
}
const userspace = Buffer.from(record(11, "enter-initrd") + record(15, "machine-id:00"), "utf8")

const entries: readonly Made[] = [
  aggregate(Buffer.alloc(32, 1)),
  file("/bin/sh", "sh"),
  { template: "ima", fields: [digestOf("sha1", "oldest"), Buffer.from("/oldest")] },
  { template: "ima-sigv2", fields: [named("verity:sha256", Buffer.alloc(32)), name("/bin/v"), Buffer.from("signed")] },
  { template: "ima-ng", fields: [named("sha256", Buffer.alloc(32)), name("/written")], violation: true },
]

const line = (made: Made, fields: string): string =>
  `10 ${made.violation ? "0".repeat(40) : toHex(extension("sha1", made))} ${made.template} ${fields}\n`
const lines = [
  line(entries[1]!, `sha256:${toHex(digestOf("sha256", "sh"))} /bin/sh`),
  line(entries[2]!, `${toHex(digestOf("sha1", "oldest"))} /oldest`),
].join("")

/** All that a log says, and that no prefix of it but the whole comes to its value. */
function takeIma(bytes: Uint8Array): void {
  const log = openImaLog(bytes)
  const whole = replayImaLog(log, "sha256", new Uint8Array(32).fill(7), imaStart("sha256", "own algorithm"))
  eachImaEvent(log, whole.state.bytes, () => undefined)
  const again = replayImaLog(log, "sha256", whole.state.value, imaStart("sha256", "own algorithm"))
  if (!again.reproduced || again.state.entries > whole.state.entries)
    throw new Broken("a log that does not come to its value")
  if (whole.cut && sameBytes(whole.state.value, new Uint8Array(32))) throw new Malformed("no whole entry")
}

const parser = (
  name_: string,
  grammar: Target["grammar"],
  seeds: readonly Uint8Array[],
  take: Target["take"],
): Target => ({
  name: name_,
  grammar,
  refusal: Malformed,
  seeds: () => seeds,
  take,
})

/** What a boot leaves behind. */
export const bootLogs: readonly Target[] = [
  parser("firmware-log", "bytes", [firmware, sha1Log(boot), agileLog(["sha256"], boot)], bytes => {
    const log = readFirmwareLog(bytes)
    provesTheSame(bytes)
    for (const bank of log.banks) {
      const measured = measuredEvents(log, bank)
      grammarFaults(measured)
      for (const { certificate } of firmwareFacts(log, measured, all).secureBoot.authorities)
        if (certificate) subjectOf(certificate)
      replayFirmwareLog(log, bank, startupOf(log))
    }
  }),
  parser("systemd-log", "text", [userspace], bytes => {
    const { records } = readMeasureLog(bytes)
    replayTogether(new Map(), records, "sha256", quoted)
  }),
  parser("ima-log-binary", "bytes", [binaryLog(entries), binaryLog(entries, "sha256")], takeIma),
  parser("ima-log-ascii", "text", [Buffer.from(lines, "latin1")], takeIma),
]
