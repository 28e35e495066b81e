/** Does the vault show what was done to it? Published, cosigned and stamped as it grows; altered by hand in every way; put back. */
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { readNote, writeNote } from "../attestation/pins/note.ts"
import { cosignersOf, readCheckpoint } from "../attestation/vault/checkpoint.ts"
import { leafHash, rootOver } from "../attestation/vault/tree.ts"
import { writeLeaf } from "../attestation/vault/leaf.ts"
import { writeRequest } from "../attestation/vault/witness.ts"
import { toHex } from "../attestation/wire/text.ts"
import { post } from "../collector/vault/ask-witness.ts"
import { Database } from "../collector/database.ts"
import { openSqlite } from "../collector/sqlite.ts"
import { logKey, publishedIn } from "../collector/vault/origin.ts"
import { prune } from "../collector/vault/prune.ts"
import { aboutOf } from "../cli/audit/ground.ts"
import { removeFolder } from "./collector-house.ts"
import { record } from "./recorder.ts"
import { alterations, byHand, openVaultHouse, treeAnew, type VaultHouse } from "./vault-house.ts"

let house: VaultHouse
beforeEach(async () => {
  house = await openVaultHouse(4)
  await house.publisher.once()
})
afterEach(async () => {
  await house.stop()
  removeFolder(house.folder)
})

const published = () =>
  readCheckpoint(readFileSync(join(publishedIn(house.config.state), "checkpoint")), logKey(house.config))

describe("a vault that nobody touched", () => {
  test("is whole, published in tiles, and cosigned", async () => {
    expect(house.check()).toMatchObject({ size: 9, faults: [], pruned: 0 })
    const { checkpoint, note } = published()
    expect(checkpoint.size).toBe(9)
    expect(cosignersOf(note, [house.witness.key])).toHaveLength(1)
    const tiles = join(publishedIn(house.config.state), "tile/0/000.p")
    expect(readdirSync(tiles)).toEqual(["9"])
    const leaves = (await house.store.leaves(0, 99)).map(({ leaf }) => leafHash(writeLeaf(leaf)))
    expect(toHex(readFileSync(join(tiles, "9")))).toBe(toHex(Buffer.concat(leaves)))
    expect(checkpoint.root).toEqual(rootOver(leaves))
  })

  test("grows, and each checkpoint continues the one before for the witness", async () => {
    for (let size = 11; size < 20; size += 2) {
      await house.record()
      await house.publisher.once()
      expect(house.witnessed()).toBe(size)
    }
    expect(house.said).toEqual([])
    expect(house.check().faults).toEqual([])
    expect(readdirSync(join(publishedIn(house.config.state), "tile/0/000.p"))).toEqual(["19"])
  })

  test("a full tile stays, and the partial ones that led to it go", async () => {
    for (let i = 0; i < 250; i++) await house.store.keep("pin", Buffer.from(String(i)), i)
    await house.publisher.once()
    const tiles = join(publishedIn(house.config.state), "tile")
    expect(readdirSync(join(tiles, "0")).toSorted()).toEqual(["000", "001.p"])
    expect(readFileSync(join(tiles, "1/000.p/1"))).toHaveLength(32)
    expect(house.check().faults).toEqual([])
  })
})

describe.each(Object.entries(alterations))("a leaf that is %s by hand", (_, sql) => {
  test("is found by the check", () => {
    byHand(house, sql)
    expect(house.check().faults.join("\n")).toMatch(/altered, taken out|taken out or put in/)
  })

  test("is found by the check even when the tree was made anew over it", () => {
    byHand(house, sql)
    treeAnew(house)
    expect(house.check().faults.join("\n")).toMatch(
      /signed checkpoint over 9 leaves has another root|checkpoint says 9 leaves, and here are 8/,
    )
  })

  test("is refused by the witness with a sentence, when the tree was made anew over it", async () => {
    byHand(house, sql)
    treeAnew(house)
    await house.store.keep("pin", Buffer.from("after"), 1)
    await house.store.keep("pin", Buffer.from("and after"), 1)
    await house.publisher.once()
    expect(house.witnessed()).toBe(9)
    expect(house.witnessSaid.at(-1)).toMatch(
      /do not begin with the 9 that this witness signed|signed another root|saw 9 leaves/,
    )
    expect(house.said.join("\n")).toMatch(/did not cosign/)
  })
})

describe("a leaf that is appended by hand", () => {
  const append = "INSERT INTO leaf VALUES (9, 'pin', 1, 1, randomblob(32))"

  test("is found by the check", () => {
    byHand(house, append)
    expect(house.check().faults.join("\n")).toMatch(/the tree has 9 leaves, and 10 are there/)
  })

  test("is found by the check when it is counted too", () => {
    byHand(house, `${append}; UPDATE tree SET size = 10`)
    expect(house.check().faults.length).toBeGreaterThan(0)
  })

  test("never gets the witness's signature", async () => {
    byHand(house, `${append}; UPDATE tree SET size = 10`)
    await house.publisher.once()
    expect(house.witnessed()).toBe(9)
    expect(house.said.join("\n")).toMatch(/did not cosign|was not published/)
  })

  test("is named by the check as evidence that has no row, when the tree was made anew over it", () => {
    byHand(house, append.replace("'pin'", "'evidence'"))
    treeAnew(house)
    expect(house.check().faults.join("\n")).toMatch(/5 leaves of kind evidence, and 4 rows/)
  })
})

test("bytes that were altered are found, and those that are gone before their time", () => {
  byHand(house, "UPDATE kept SET bytes = (SELECT bytes FROM kept WHERE position = 0) WHERE position = 3")
  expect(house.check().faults.join("\n")).toMatch(/bytes of leaf 3/)
  byHand(house, "DELETE FROM kept WHERE position = 8")
  expect(house.check().faults.join("\n")).toMatch(/bytes of leaf 8 \(result\) are gone before their time/)
})

test("a store that was put back is noticed at the start, said, kept as a leaf, and refused by the witness", async () => {
  const copy = join(house.folder, "copy.db")
  const db = new Database(join(house.config.state, "collector.db"))
  db.run("VACUUM INTO ?", copy)
  db.close()
  for (let i = 0; i < 3; i++) await house.record()
  await house.publisher.once()
  await house.store.close()
  for (const left of ["-wal", "-shm"]) rmSync(join(house.config.state, `collector.db${left}`), { force: true })
  writeFileSync(join(house.config.state, "collector.db"), readFileSync(copy))
  const store = openSqlite(join(house.config.state, "collector.db"))
  expect(house.check().faults.join("\n")).toMatch(/the published checkpoint says 15 leaves, and here are 9/)
  const publisher = house.fresh({ vault: store })
  await publisher.start()
  await publisher.stop()
  expect(house.said.join("\n")).toMatch(/put back or altered: 15 leaves were published, and 9 are here/)
  expect(house.said.join("\n")).toMatch(/it saw 15 leaves, and here are 10/)
  expect((await store.leaves(9, 1))[0]?.leaf.kind).toBe("restored")
  expect(house.witnessed()).toBe(15)
  await store.close()
})

test("bytes whose time is over go, their leaves stay, and who decided it is a leaf", async () => {
  const db = new Database(join(house.config.state, "collector.db"))
  const at = Date.parse("2034-01-01T00:00:00.000Z")
  const before = Date.parse("2026-05-04T03:13:00.000Z")
  expect(prune(db, { before, by: "Ada Lovelace", at, retention: 7 })).toEqual({ leaves: 2, logs: 0 })
  db.close()
  expect(await house.store.content(3), "of the second").toBeUndefined()
  expect(await house.store.content(5)).toBeDefined()
  expect((await house.store.leaves(9, 1))[0]?.leaf.kind).toBe("pruning")
  await house.publisher.once()
  expect(house.witnessed()).toBe(10)
})

describe("retention is a floor", () => {
  /** `assay vault prune` at a moment of the house's future, under a configuration that says `retention`. */
  function pruned(before: string, now: string, retention = "") {
    const path = join(house.folder, "collector.toml")
    writeFileSync(path, `state = "${house.config.state}"\n${retention}`)
    return record(["vault", "prune", "--by", "Ada Lovelace", "--before", before, "--config", path], { now })
  }
  const bytesAt = (position: number) => house.store.content(position)

  test("of seven years unless another is written: what is younger is refused, and nothing goes", async () => {
    const refused = await pruned("2026-05-05T00:00:00Z", "2033-05-04T00:00:00Z")
    expect(refused).toMatchObject({ exit: 1, out: "" })
    expect(refused.err).toMatch(/nothing is pruned that was kept after 2026-05-0\dT[^ ]+: vault\.retention is 7 years/)
    expect(await house.store.leaves(9, 1)).toEqual([])
    expect(await bytesAt(1)).toBeDefined()
    const done = await pruned("2026-05-05T00:00:00Z", "2033-05-06T00:00:00Z")
    expect(done).toMatchObject({ exit: 0, err: "", out: expect.stringContaining("pruned") })
    expect(await bytesAt(1)).toBeUndefined()
    expect(house.check().pruned).toBe(8)
  })

  test("that the firm may lower, which stands in the leaf; not below one year", async () => {
    const shorter = "[vault]\nretention = 2\n"
    expect(await pruned("2026-05-05T00:00:00Z", "2028-05-01T00:00:00Z", shorter)).toMatchObject({ exit: 1 })
    const done = await pruned("2026-05-05T00:00:00Z", "2029-01-01T00:00:00Z", shorter)
    expect(done).toMatchObject({ exit: 0, err: expect.stringContaining("2 years, not the usual 7: the leaf says so") })
    const leaf = Buffer.from((await bytesAt(9)) ?? "").toString()
    expect(JSON.parse(leaf)).toMatchObject({
      before: "2026-05-05T00:00:00.000Z",
      retention: "2 years",
      by: "Ada Lovelace",
    })
    expect(aboutOf(leaf)).toBe("before 2026-05-05T00:00:00.000Z, retention 2 years, by Ada Lovelace")
    const none = await pruned("2026-05-05T00:00:00Z", "2029-01-01T00:00:00Z", "[vault]\nretention = 0\n")
    expect(none).toMatchObject({ exit: 78, err: expect.stringContaining("vault.retention: less than one year") })
  })

  test("and what is gone before its time is found by the check", async () => {
    await pruned("2026-05-05T00:00:00Z", "2029-01-01T00:00:00Z", "[vault]\nretention = 2\n")
    const path = join(house.folder, "collector.toml")
    writeFileSync(path, `state = "${house.config.state}"\n`)
    const found = await record(["vault", "check", "--config", path], { now: "2029-01-01T00:00:00Z" })
    expect(found).toMatchObject({
      exit: 4,
      out: expect.stringMatching(/leaf 1 \(evidence\)\s+are\s+gone before their time/),
    })
  })
})

describe("the witness", () => {
  const ask = (body: Uint8Array) => post(new URL(`${address()}add-checkpoint`), "text/plain", body)
  let url = ""
  const address = (): string => url

  test("refuses what it should, each with a status and a sentence", async () => {
    const { serveWitness } = await import("../cli/witness.ts")
    const server = serveWitness(house.witness, () => undefined)
    await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const { note } = published()
    const checkpoint = writeNote(note)
    const said = async (body: Uint8Array) => {
      const { status, bytes } = await ask(body)
      return [status, bytes.toString()] as const
    }
    expect(await said(writeRequest({ old: 9, proof: [], checkpoint })), "the same again").toMatchObject([
      200,
      /^— witness/,
    ])
    expect(await said(writeRequest({ old: 5, proof: [], checkpoint }))).toEqual([409, "9\n"])
    expect(await said(writeRequest({ old: 99, proof: [], checkpoint }))).toMatchObject([400, /cannot follow one of 99/])
    expect(await said(Buffer.from("nonsense"))).toMatchObject([400, /not a request/])
    const altered = Buffer.from(checkpoint)
    altered[20] = (altered[20] ?? 0) ^ 1
    expect((await said(writeRequest({ old: 9, proof: [], checkpoint: altered })))[0]).toBe(403)
    const other = Buffer.from(Buffer.from(checkpoint).toString().replaceAll("collector", "another"))
    expect(await said(writeRequest({ old: 0, proof: [], checkpoint: other }))).toMatchObject([
      404,
      /knows no log another/,
    ])
    await new Promise(resolve => {
      server.closeAllConnections()
      server.close(resolve)
    })
  })
})

test("a time stamp of openssl's own authority is kept, and openssl verifies it", async () => {
  const folder = join(house.folder, "tsa")
  const openssl = (...args: string[]) => spawnSync("openssl", args, { cwd: folder, encoding: "utf8" })
  const sh = spawnSync(
    "sh",
    [
      "-c",
      `mkdir "$0" && cd "$0" && echo 01 > serial && printf '[tsa]\\ndefault_tsa=t\\n[t]\\nserial=serial\\nsigner_digest=sha256\\n'\
'default_policy=1.2.3.4\\ndigests=sha256\\ness_cert_id_alg=sha256\\n[e]\\nextendedKeyUsage=critical,timeStamping\\n' > c.cnf
       openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj /CN=tsa -keyout k.pem -out a.pem \
         -addext extendedKeyUsage=critical,timeStamping`,
      folder,
    ],
    { encoding: "utf8" },
  )
  expect(sh.status, sh.stderr).toBe(0)
  const authority = createServer((request, answer) => {
    const parts: Buffer[] = []
    request.on("data", (part: Buffer) => parts.push(part))
    request.on("end", () => {
      writeFileSync(join(folder, "q.tsq"), Buffer.concat(parts))
      const made = openssl(
        ..."ts -reply -config c.cnf -section t -queryfile q.tsq -signer a.pem -inkey k.pem -out r.tsr".split(" "),
      )
      if (made.status === 0) answer.writeHead(200).end(readFileSync(join(folder, "r.tsr")))
      else answer.writeHead(500).end(made.stderr)
    })
  })
  await new Promise<void>(resolve => authority.listen(0, "127.0.0.1", resolve))
  const publisher = house.fresh({ timestamps: `http://127.0.0.1:${(authority.address() as AddressInfo).port}/` })
  await house.record()
  await publisher.once()
  await new Promise(resolve => authority.close(resolve))
  expect(house.said).toEqual([])
  const anchor = await house.store.newestAnchor()
  writeFileSync(join(folder, "kept.tsr"), anchor?.timestamp ?? "")
  writeFileSync(join(folder, "text"), readNote(anchor?.checkpoint ?? new Uint8Array()).text)
  const verified = openssl(..."ts -verify -data text -in kept.tsr -CAfile a.pem".split(" "))
  expect(verified.stdout + verified.stderr).toContain("Verification: OK")
  writeFileSync(join(folder, "text"), "another")
  expect(openssl(..."ts -verify -data text -in kept.tsr -CAfile a.pem".split(" ")).status).not.toBe(0)
  expect(existsSync(join(folder, "kept.tsr"))).toBe(true)
})
