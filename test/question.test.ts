/** When is evidence the answer to a challenge, and when is it history? By the challenge's own deadline, on its own connection, over a real store. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { onceFiles } from "../agent/once.ts"
import { readEnvelope } from "../attestation/protocol/dsse.ts"
import { readPayload } from "../attestation/protocol/evidence.ts"
import { fromBase64 } from "../attestation/wire/text.ts"
import { questionOf } from "../collector/question.ts"
import { openSqlite } from "../collector/sqlite.ts"
import { removeFolder, temporaryFolder } from "./collector-house.ts"

const evidence = readFileSync(join(import.meta.dirname, "golden/files/answer", onceFiles.evidence))
const payload = readPayload(fromBase64(readEnvelope(new Uint8Array(evidence)).payload))
const { attester } = payload.body
const nonce = payload.body.kind === "answer" ? fromBase64(payload.body.nonce) : new Uint8Array(0)
const channel = new Uint8Array(32).fill(1)
const open = { nonce, issued: 1000, expires: 4000 }

async function storeWith(issuedTo: string) {
  const folder = temporaryFolder()
  const store = openSqlite(join(folder, "collector.db"))
  onTestFinished(async () => {
    await store.close()
    removeFolder(folder)
  })
  await store.issue({ ...open, attester: issuedTo, channel })
  return store
}

test("C16 M8 up to its deadline an open challenge is answered in time, and a millisecond later no more, whether the timer ran or not", async () => {
  const store = await storeWith(attester)
  const asked = (received: number) => questionOf(store, { channel, challenge: open }, attester, payload, received)
  expect(await asked(4000)).toMatchObject({ timely: true, missing: undefined })
  expect(await asked(4001)).toMatchObject({ timely: false, nonce: { nonce }, missing: undefined })
})

test("C16 M9 a nonce of another connection is held against that connection's channel, and one of another attester against nothing", async () => {
  const elsewhere = { channel: new Uint8Array(32).fill(2), challenge: "none of this connection" } as const
  const own = await questionOf(await storeWith(attester), elsewhere, attester, payload, 2000)
  expect(own).toMatchObject({ timely: false, asked: { kind: "nonce", channel } })
  const others = await questionOf(await storeWith(`000b${"00".repeat(32)}`), elsewhere, attester, payload, 2000)
  expect(others).toMatchObject({ timely: false, asked: { kind: "nothing" }, missing: { id: "nonce.unknown" } })
})
