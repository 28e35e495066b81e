/**
 * In which order do cases run, and with how few boots? Those that contraindicate come together, since only a boot takes that
 * back; those that boot anyway come behind them. What failed is kept, and the machine is booted anew before the next.
 */
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { alteredCases, plainCases, protectCases, resetCases } from "./cases/altered.ts"
import { bootedCases, rebootCases } from "./cases/booted.ts"
import { coldCases } from "./cases/cold.ts"
import { confinedCases } from "./cases/confined.ts"
import { documentCases } from "./cases/documents.ts"
import { idleCases } from "./cases/idle.ts"
import { killedCases } from "./cases/killed.ts"
import { worldCases } from "./cases/world.ts"
import { type Case, good } from "./case.ts"
import { Late } from "./patience.ts"
import type { Site } from "./site.ts"

/** What every other case begins with. */
export const opening: readonly Case[] = coldCases

/** In the order in which they run. */
export const cases: readonly Case[] = [
  ...[...confinedCases, ...idleCases, ...killedCases, ...worldCases, ...protectCases],
  ...[...plainCases, ...alteredCases, ...rebootCases, ...resetCases, ...bootedCases, ...documentCases],
]

/** late: what should have come did not, and nothing else was wrong. Such a case is tried once more, after a power cut and a boot. */
type Result = "passed" | "failed" | "late"

export type Row = {
  readonly name: string
  readonly seconds: number
  readonly result: Result
  readonly remark: string
}

type Told = (row: Row) => void

/** Runs cases one after another; what a case leaves is taken back before one that does not boot by itself. */
export async function runCases(site: Site, chosen: readonly Case[], artefacts: string, told: Told): Promise<Row[]> {
  const rows: Row[] = []
  let left: Case["leaves"] | "unknown" = "as it was"
  const add = (row: Row): void => {
    rows.push(row)
    told(row)
  }
  for (const each of chosen) {
    const fresh = left === "as it was" || (left === "contraindicated" && each.leaves === "contraindicated")
    if (!fresh && (!each.boots || left === "unknown")) add(await restored(site, artefacts, left))
    let row = await one(site, each, artefacts)
    if (row.result === "late" && !each.once) {
      add(row)
      add(await restored(site, artefacts, "unknown"))
      row = { ...(await one(site, each, artefacts)), name: `${each.name} (retried)` }
    }
    add(last(row))
    left = row.result === "passed" ? each.leaves : "unknown"
  }
  if (left === "contraindicated") add(await restored(site, artefacts, left))
  return rows
}

/** There is no second try of a second try. */
const last = (row: Row): Row => (row.result === "late" ? { ...row, result: "failed" } : row)

/**
 * A boot takes back what a log of this boot still says, and a second one a reset of the register, which is first stated after the
 * boot; after a failure the power is cut first.
 */
const restored = async (site: Site, artefacts: string, left: Case["leaves"] | "unknown"): Promise<Row> =>
  last(
    await one(
      site,
      {
        name: "and back",
        says: "a boot takes it back",
        leaves: "as it was",
        run: async ({ machine }) => {
          if (machine.running) await (left === "unknown" ? machine.cut() : machine.powerOff())
          await machine.start()
          let verdict = await site.answer("quick", 600)
          if (verdict.findings.some(({ id }) => id === "pcr.reset-possible")) {
            await machine.reboot()
            verdict = await site.answer("quick", 600)
          }
          good(verdict)
          return `overall ${verdict.tier}`
        },
      },
      artefacts,
    ),
  )

async function one(site: Site, { name, run }: Case, artefacts: string): Promise<Row> {
  const begun = Date.now()
  const seconds = (): number => Math.round((Date.now() - begun) / 1000)
  try {
    return { name, result: "passed", remark: await run(site), seconds: seconds() }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const result = error instanceof Late ? "late" : "failed"
    const row = { name, result, remark: why, seconds: seconds() } as const
    await keep(site, join(artefacts, name.replaceAll(" ", "-")), why)
    return row
  }
}

/** What may tell why a case failed. */
async function keep(site: Site, folder: string, why: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, "failure.txt"), `${why}\n`)
  for (const name of ["console.log", "tpm.log", "emulator.log", "tpm/tpm2-00.permall"])
    if (existsSync(join(site.machine.folder, name)))
      copyFileSync(join(site.machine.folder, name), join(folder, name.replace("/", "-")))
  copyFileSync(site.log, join(folder, "collector.log"))
  for (const [name, script] of Object.entries(questions)) {
    const said = await site.machine
      .run(script, { good: all, seconds: 60 })
      .catch(error => ({ out: "", err: String(error) }))
    writeFileSync(join(folder, `${name}.txt`), `${said.out}${said.err}`)
  }
}

const all = Array.from({ length: 256 }, (_, status) => status)
const questions = {
  journal: "journalctl -b --no-pager -n 2000",
  units: "systemctl status --no-pager -l 'assay-*'; systemctl --failed --no-pager",
  status: "assay status --agent-config /etc/assay/agent.toml; assay doctor --config /etc/assay/agent.toml",
  registers: "tpm2_pcrread sha256; tpm2_readclock",
  ima: "cat /sys/kernel/security/ima/ascii_runtime_measurements",
}
