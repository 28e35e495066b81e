/**
 * Who makes evidence without our attester? tpm2-tools on a software TPM, and node:crypto for the Ed25519 key: the format's
 * documents, followed by a stranger. What verifiers make of it stands in the tests.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { type LogEvent, writeEvent } from "../attestation/protocol/event.ts"
import { type Body, evidenceDigest, type Payload, writePayload } from "../attestation/protocol/evidence.ts"
import { payloadTypes, seal } from "../attestation/protocol/dsse.ts"
import { qualifyingData } from "../attestation/protocol/qualifying-data.ts"
import { celRecord, writeCelLine } from "../attestation/tcg/cel.ts"
import { toBase64, toHex } from "../attestation/wire/text.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

const pcrs = [0, 7, 23]

/** Facts as they would be measured; a test may give others. */
export const someEvents: readonly LogEvent[] = [
  {
    type: "assay.measurement.v1",
    source: "kernel",
    subject: "",
    state: "present",
    facts: [
      ["release", "6.12.0-amd64"],
      ["command-line", "ro quiet"],
    ],
  },
  {
    type: "assay.measurement.v1",
    source: "weights",
    subject: "demo",
    state: "present",
    facts: [
      ["manifest", `sha256:${"1f".repeat(32)}`],
      ["file model.safetensors", `sha256:${"2e".repeat(32)}`],
    ],
  },
]

export type ToolAttester = {
  readonly tpm: Swtpm
  /** TPM2B_PUBLIC of the AK, a file */
  readonly ak: string
  /** Name of the EK */
  readonly attester: string
  /** measures `events` and writes evidence for `nonce` (or a report) into `folder`; gives its digest */
  attest(folder: string, nonce: Uint8Array | "nobody asked", events: readonly LogEvent[]): Promise<string>
  stop(): Promise<void>
}

export async function startToolAttester(): Promise<ToolAttester> {
  const swtpm = await startSwtpm()
  const tpm = { ...swtpm, tool: tidily(swtpm) }
  const path = (name: string): string => join(tpm.directory, name)
  await tpm.tool("tpm2_createek", "-c", "ek.ctx", "-G", "rsa", "-u", "ek.pub")
  const akArgs = ["-C", "ek.ctx", "-c", "ak.ctx", "-G", "ecc", "-g", "sha256", "-s", "ecdsa", "-n", "ak.name"]
  await tpm.tool("tpm2_createak", ...akArgs)
  await tpm.tool("tpm2_readpublic", "-c", "ak.ctx", "-f", "tss", "-o", "ak.pub")
  await tpm.tool("tpm2_readpublic", "-c", "ek.ctx", "-n", "ek.name")
  const attester = toHex(await readFile(path("ek.name")))
  const akName = toHex(await readFile(path("ak.name")))
  const { publicKey, privateKey } = generateKeyPairSync("ed25519")
  const evidenceKey = new Uint8Array(Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url"))
  const chain = toHex(randomBytes(16))
  let log = Buffer.alloc(0)
  let records = 0
  let sequence = 0
  let previous: string | null = null

  const append = async (event: LogEvent): Promise<void> => {
    const record = celRecord(records++, 23, ["sha256", "sha384"], writeEvent(event))
    log = Buffer.concat([log, writeCelLine(record)])
    const digests = record.digests.map(({ hashAlg, digest }) => `${hashAlg}=${digest}`).join(",")
    await tpm.tool("tpm2_pcrextend", `23:${digests}`)
  }
  await append(await firstEvent(tpm))

  return {
    tpm,
    ak: path("ak.pub"),
    attester,
    stop: () => swtpm.stop(),
    async attest(folder, nonce, events) {
      for (const each of events) await append(each)
      const common = {
        attester,
        ak: akName,
        evidenceKey: toBase64(evidenceKey),
        audience: "a verifier with files",
        chain: { id: chain, sequence: String(sequence++), previous, predecessor: null },
        made: new Date().toISOString(),
        boot: "00000000-0000-4000-8000-000000000000",
        selection: { bank: "sha256" as const, pcrs },
        logPcr: 23,
        logs: [{ name: "assay", length: log.length, digest: createHash("sha256").update(log).digest("hex") }],
      }
      const body: Body =
        nonce === "nobody asked"
          ? { kind: "report", ...common, after: null }
          : { kind: "answer", ...common, nonce: toBase64(nonce), channel: "", credential: "none" }
      const payload = writePayload({ body, quote: await quote(tpm, toHex(qualifyingData(body, new Uint8Array(0)))) })
      await mkdir(folder, { recursive: true })
      await writeFile(join(folder, "evidence.dsse.json"), sealBy(privateKey, evidenceKey, payload))
      await writeFile(join(folder, "assay.cel"), log)
      await writeFile(join(folder, "ak.pub"), await readFile(path("ak.pub")))
      previous = evidenceDigest(payload)
      return previous
    },
  }
}

/** A TPM without a resource manager keeps what a tool loaded: after each tool its transient objects and sessions go. */
const tidily =
  (tpm: Swtpm): Swtpm["tool"] =>
  async (program, ...args) => {
    const said = await tpm.tool(program, ...args)
    for (const kind of ["-t", "-l"]) await tpm.tool("tpm2_flushcontext", kind)
    return said
  }

const sealBy = (privateKey: KeyObject, publicKey: Uint8Array, payload: Uint8Array): Uint8Array =>
  seal(payloadTypes.evidence, payload, publicKey, message => new Uint8Array(sign(null, message, privateKey)))

async function firstEvent(tpm: Swtpm): Promise<LogEvent> {
  const clock = await tpm.tool("tpm2_readclock")
  const counter = (name: string): number => Number(new RegExp(`${name}: (\\d+)`).exec(clock)?.[1])
  return {
    type: "assay.epoch.v1",
    reason: "join",
    resetCount: counter("reset_count"),
    restartCount: counter("restart_count"),
    boot: "00000000-0000-4000-8000-000000000000",
    previous: null,
  }
}

async function quote(tpm: Swtpm, qualifying: string): Promise<Payload["quote"]> {
  const selection = `sha256:${pcrs.join(",")}`
  const files = ["-m", "quote.attest", "-s", "quote.signature", "-f", "tss"]
  await tpm.tool("tpm2_quote", "-c", "ak.ctx", "-l", selection, "-q", qualifying, "-g", "sha256", ...files)
  const values = await tpm.tool("tpm2_pcrread", selection)
  const valueOf = (pcr: number): string =>
    new RegExp(`\\b${pcr} *: 0x([0-9A-F]{64})`).exec(values)?.[1]?.toLowerCase() ?? ""
  const base64 = async (name: string): Promise<string> => toBase64(await readFile(join(tpm.directory, name)))
  return {
    attest: await base64("quote.attest"),
    signature: await base64("quote.signature"),
    pcrs: pcrs.map(pcr => [pcr, valueOf(pcr)]),
    logs: [],
    audit: null,
  }
}
