/**
 * Where do the files under test/golden/files come from? From a software TPM and tpm2-tools, made once by
 * `node test/golden/make.ts` and kept, so that what people read of them stays the same. Making them anew changes every output.
 */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { nothingProven, propose, writeReference } from "../../attestation/pins/reference.ts"
import { verify } from "../../attestation/verify/verify.ts"
import { readBundle, readClaims, readPublicFile } from "../../cli/bundle.ts"
import { someEvents, startToolAttester } from "../tool-attester.ts"

const folder = join(import.meta.dirname, "files")
const nonce = new Uint8Array(32).fill(0x6b)

const attester = await startToolAttester()
try {
  await attester.attest(join(folder, "answer"), nonce, someEvents)
  await attester.attest(join(folder, "report"), "nobody asked", [])
  await writeReferences(await eventsOf(join(folder, "answer")))
} finally {
  await attester.stop()
}

async function eventsOf(bundle: string) {
  const untrusted = await readBundle(bundle, undefined)
  const claims = readClaims(untrusted.envelope)
  if (claims instanceof Error) throw claims
  const keys = { attester: attester.attester, ak: await readPublicFile(attester.ak), evidenceKey: "as quoted" } as const
  const asked = { kind: "nonce", nonce, channel: "not checkable", credential: new Uint8Array(0) } as const
  const outcome = verify(untrusted, {
    keys,
    asked,
    pcrs: [0, 7],
    logPcr: 23,
    audience: "anyone",
    now: Date.parse(claims.body.made),
  })
  if (!outcome.authentic) throw new Error(JSON.stringify(outcome.findings))
  return outcome.evidence
}

/** One that matches, and one from before somebody changed the weights and loaded another kernel. */
async function writeReferences({ body, digest, events }: Awaited<ReturnType<typeof eventsOf>>): Promise<void> {
  const recorded = "2026-01-31T12:00:00.000Z"
  const same = propose(body.attester, digest, events, "Ada Lovelace", recorded, nothingProven)
  const before = {
    ...same,
    measurements: same.measurements.map(each =>
      each.replaceAll("2e2e", "3f3f").replace("6.12.0-amd64", "6.11.9-amd64"),
    ),
  }
  await writeFile(join(folder, "reference.json"), writeReference(same))
  await writeFile(join(folder, "reference-before.json"), writeReference(before))
}
