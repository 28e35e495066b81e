/**
 * What does this machine answer when nobody is connected? A measurement and evidence for a nonce that somebody brought, or a
 * report without one, as files: everything that `assay verify`, openssl and jq need.
 */
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { toPem } from "../attestation/protocol/dsse.ts"
import { fromBase64, toBase64 } from "../attestation/wire/text.ts"
import { writeJson } from "../attestation/wire/json.ts"
import { Attester, type Evidence } from "./attester.ts"
import { bootLogFiles } from "./boot-logs.ts"
import type { Configuration } from "./config.ts"
import { thisMachine } from "./reader/ask.ts"
import type { Broker } from "./record.ts"

/** `nonce` is 32 bytes; `audience` for whom this chain of evidence is; `out` the folder that is written to. */
export type OnceOptions = {
  readonly nonce: Uint8Array | "none"
  readonly audience: string
  readonly out: string
  readonly signal: AbortSignal
  /** milliseconds since 1970 */
  readonly now: () => number
}

/** The files that are written, in the folder that was asked for; beside them the boot logs that there are. */
export const onceFiles = {
  evidence: "evidence.dsse.json",
  log: "assay.cel",
  /** TPMT_PUBLIC */
  ak: "ak.pub",
  evidenceKey: "evidence-key.pem",
  identity: "identity.json",
} as const

/** Measures every byte anew, attests, and writes {@link onceFiles} and the boot logs. */
export async function attestOnce(
  broker: Broker,
  configuration: Configuration,
  options: OnceOptions,
): Promise<Evidence> {
  const { nonce, audience, out, signal, now } = options
  const asked =
    nonce === "none"
      ? ({ kind: "report", after: null } as const)
      : ({ kind: "answer", nonce: toBase64(nonce), channel: "", credential: null } as const)
  const attester = new Attester({ broker, host: thisMachine(configuration), configuration, now })
  try {
    const evidence = await attester.answer({ asked, audience, depth: "full" }, signal)
    const { identity } = await broker.call("identity", {})
    await mkdir(out, { recursive: true })
    const write = (name: keyof typeof onceFiles, bytes: Uint8Array | string): Promise<void> =>
      writeFile(join(out, onceFiles[name]), bytes)
    await write("evidence", evidence.envelope)
    await write("log", evidence.log)
    for (const [name, bytes] of evidence.bootLogs) await writeFile(join(out, bootLogFiles[name]), bytes)
    await write("ak", fromBase64(identity.akPublic))
    await write("evidenceKey", toPem(fromBase64(identity.evidenceKey)))
    await write("identity", writeJson(identity))
    return evidence
  } finally {
    await attester.close()
  }
}
