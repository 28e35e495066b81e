/**
 * Of what is a vault of a million evidences made, when nothing changes? Evidence and results in their real formats and sizes, each with
 * what is new in every one: nonce, channel, counters, quote, signatures, digests. No TPM makes a million quotes here: signatures and
 * quotes are random bytes, which no compression makes smaller.
 */
import { createHash, randomBytes } from "node:crypto"
import { writeResult } from "../../../attestation/appraise/result.ts"
import { keyIdOf, payloadTypes } from "../../../attestation/protocol/dsse.ts"
import { type Body, evidenceDigest, writePayload } from "../../../attestation/protocol/evidence.ts"
import { writeEvent } from "../../../attestation/protocol/event.ts"
import { celRecord, writeCelLine } from "../../../attestation/tcg/cel.ts"
import { finding } from "../../../attestation/verify/finding.ts"
import { writeJson } from "../../../attestation/wire/json.ts"
import { fromBase64, toBase64 } from "../../../attestation/wire/text.ts"
import type { Entry } from "../../../collector/store.ts"

const hex = (bytes: number): string => randomBytes(bytes).toString("hex")
const base64 = (bytes: number): string => randomBytes(bytes).toString("base64")

/** A machine of which nothing changes but time. */
export type Machine = {
  readonly attester: string
  readonly ak: string
  readonly key: Uint8Array
  readonly boot: string
  readonly chain: string
  readonly log: Uint8Array
  readonly pcrs: readonly [number, string][]
  sequence: number
  previous: string | null
}

const sources = ["firmware", "kernel", "driver", "cuda", "runtime", "weights", "agent", "gpu"]

export function machine(): Machine {
  const record = (n: number): Uint8Array => {
    const source = sources[n % 8] ?? "agent"
    const facts = [
      ["manifest", hex(32)],
      ["version", "595.84"],
    ] as const
    const event = { source, subject: `subject ${n}`, state: "present" } as const
    const text = writeEvent({
      type: "assay.measurement.v1",
      ...event,
      facts: facts.map(([name, value]) => [name, value]),
    })
    return writeCelLine(celRecord(n, 23, ["sha256"], text))
  }
  return {
    ...{ attester: `000b${hex(32)}`, ak: `000b${hex(32)}`, key: new Uint8Array(randomBytes(32)), boot: hex(16) },
    ...{ chain: hex(16), log: new Uint8Array(Buffer.concat(Array.from({ length: 24 }, (_, n) => record(n)))) },
    pcrs: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 23].map(pcr => [pcr, hex(32)]),
    ...{ sequence: 0, previous: null },
  }
}

const version = "0.1.0"
const build = hex(32)
const reference = hex(32)
const [firmware, ima] = [hex(32), hex(32)]
const collectorKey = randomBytes(32)

/** The next answer of `machine` with its result, received at `at`. */
export function next(machine: Machine, at: number): Entry {
  machine.sequence += 1
  const payload = writePayload({ body: bodyOf(machine, at), quote: quoteOf(machine) })
  const digest = evidenceDigest(payload)
  const entry = entryOf(machine, digest, at, payload)
  machine.previous = digest
  return entry
}

function bodyOf(machine: Machine, at: number): Body {
  const digest = createHash("sha256").update(machine.log).digest("hex")
  return {
    ...{ kind: "answer", attester: machine.attester, ak: machine.ak, evidenceKey: toBase64(machine.key) },
    audience: "collector",
    chain: {
      ...{ id: machine.chain, sequence: String(machine.sequence), previous: machine.previous },
      predecessor: machine.sequence === 1 ? { id: hex(16), sequence: "0", digest: null } : null,
    },
    ...{ made: instant(at - 900), boot: machine.boot },
    selection: { bank: "sha256", pcrs: machine.pcrs.map(([pcr]) => pcr) },
    ...{ logPcr: 23, logs: [{ name: "assay", length: machine.log.length, digest }] },
    ...{ nonce: base64(32), channel: base64(32), credential: "none" },
  }
}

/** TPMS_ATTEST: 8 bytes of magic, type and length, the AK's name, extra data, clock, firmware, selection, digest; of them 42 are new. */
function quoteOf({ ak, pcrs, sequence }: Machine) {
  const fixed = Buffer.from(`ff54434780180022${ak}0020`, "hex")
  const clock = Buffer.alloc(17)
  clock.writeUInt32BE(sequence * 300_000 + 7, 4)
  const rest = Buffer.from("20191023001636360000000100 0b03ff0780 0020".replaceAll(" ", ""), "hex")
  const digest = createHash("sha256").update(JSON.stringify(pcrs)).digest()
  return {
    attest: toBase64(Buffer.concat([fixed, randomBytes(32), clock, rest, digest])),
    signature: toBase64(
      Buffer.concat([Buffer.from("0018000b0020", "hex"), randomBytes(32), Buffer.of(0, 32), randomBytes(32)]),
    ),
    pcrs: [...pcrs],
    audit: null,
    logs: [
      { name: "firmware" as const, state: "present" as const, length: 41_234, digest: firmware },
      { name: "userspace" as const, state: "absent" as const },
      { name: "ima" as const, state: "present" as const, length: 912_345, digest: ima },
    ],
  }
}

const instant = (time: number): string => new Date(time).toISOString()
const signed = (payloadType: string, payload: Uint8Array, key: Uint8Array): Uint8Array =>
  writeJson({ payloadType, payload: toBase64(payload), signatures: [{ keyid: keyIdOf(key), sig: base64(64) }] })

function resultOf(machine: Machine, evidence: string, at: number): Uint8Array {
  const { attester } = machine
  const found = finding(
    "pin.none",
    "pins",
    "no approved pin",
    "pins approved by the owners of weights, runtime and key",
  )
  return writeResult({
    ...{ attester, evidence, kind: "answer", asked: instant(at - 1000), received: instant(at), tier: "warning" },
    components: ["tpm", ...sources].map(name => ({
      ...{ name, tier: "warning", says: `as recorded by Ada Lovelace on 2026-11-21, ${name}`, findings: [] },
    })),
    findings: [found],
    authority: {
      hash: null,
      key: { name: attester, word: "TPM-sealed: whoever may use this TPM may sign" },
      pin: null,
    },
    custody: [
      {
        signs: "the quote",
        key: machine.ak,
        class: "TPM-resident",
        chain: ["made in this TPM, under its endorsement hierarchy"],
      },
      { signs: "evidence", key: toBase64(machine.key), class: "TPM-sealed", chain: ["bound by the quote"] },
    ],
    policy: { root: reference, origin: "firm.example/policy", version: 3, digest: build },
    pin: {
      ...{ origin: "firm.example/pins/gpu-ws", version: 17, digest: reference, note: build, proposed: "Ada Lovelace" },
      ...{ approved: ["Jane Doe", "Ali Khan"], effective: instant(0), expires: instant(4e12), previous: 16 },
    },
    cause: "pin.none",
    ...{ reference, verifier: { version, build } },
  })
}

function entryOf(machine: Machine, digest: string, at: number, payload: Uint8Array): Entry {
  const { attester, sequence, previous, log, boot, chain } = machine
  return {
    ...{ digest, attester, enrolment: 1, kind: "answer", timely: true },
    chain: { id: chain, sequence: String(sequence), previous },
    clock: { resetCount: 7, restartCount: 0, milliseconds: BigInt(sequence) * 300_000n },
    ...{
      boot,
      nonce: null,
      asked: at - 1000,
      received: at,
      tier: "warning",
      gap: null,
      log,
      bootLogs: [],
      audit: null,
    },
    envelope: signed(payloadTypes.evidence, payload, machine.key),
    result: signed(payloadTypes.result, resultOf(machine, digest, at), fromBase64(toBase64(collectorKey))),
    standing: { version: sequence - 1, after: { state: "warning", resetCount: 7, fresh: at, under: null } },
  }
}
