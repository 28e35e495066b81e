/**
 * Does what we install hold on a machine that boots with UEFI, Secure Boot, IMA and a TPM? `npm run test:vm` makes such a machine,
 * installs the package inside, lets it join a collector here, and does to it what docs/measured-boot.md lists.
 *
 *   npm run test:vm                     every case; a table at the end
 *   npm run test:vm -- --soak           an hour offline and an hour idle in place of a minute
 *   npm run test:vm -- --case NAME      one case; its machine is the one that was installed last, if nothing changed since
 *   npm run test:vm -- --keep           leave the machine's folder where it is
 *   npm run test:vm -- --list           the cases
 */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { cases, opening, type Row } from "./vm/schedule.ts"
import { Trial } from "./vm/trial.ts"

const { values } = parseArgs({
  options: {
    case: { type: "string", multiple: true, default: [] },
    soak: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    list: { type: "boolean", default: false },
    package: { type: "string" },
  },
})

const say = (line: string): void => void process.stdout.write(`${line}\n`)

function packagePath(): string {
  const folder = join(import.meta.dirname, "../dist")
  const found = readdirSync(folder).find(name => /^assay_.*_amd64\.deb$/.test(name))
  if (found === undefined) throw new Error("there is no package in dist; build it with: npm run package")
  return join(folder, found)
}

function report(rows: readonly Row[]): void {
  const width = Math.max(...rows.map(({ name }) => name.length))
  say(`\n${"case".padEnd(width)}  seconds  result`)
  for (const { name, seconds, result } of rows) say(`${name.padEnd(width)}  ${String(seconds).padStart(7)}  ${result}`)
  const count = (which: Row["result"]): number => rows.filter(({ result }) => result === which).length
  const total = rows.reduce((sum, { seconds }) => sum + seconds, 0)
  const late = count("late") > 0 ? `, ${count("late")} late and retried` : ""
  say(`${count("passed")} passed, ${count("failed")} failed${late}, ${total} seconds`)
}

if (values.list) {
  for (const { name, says } of [...opening, ...cases]) say(`${name.padEnd(28)}${says}`)
} else {
  const known = [...opening, ...cases]
  const chosen = values.case.map(name => {
    const found = known.find(each => each.name === name)
    if (!found) throw new Error(`there is no case "${name}"; --list shows them`)
    return found
  })
  const deb = values.package ?? packagePath()
  const trial = await Trial.open({ deb, soak: values.soak, keep: values.keep, say })
  process.once("SIGINT", () => void trial.close().finally(() => process.exit(130)))
  process.once("SIGTERM", () => void trial.close().finally(() => process.exit(143)))
  try {
    const rows = await trial.run(chosen)
    report(rows)
    process.exitCode = rows.some(({ result }) => result === "failed") ? 1 : 0
  } finally {
    await trial.close()
  }
}
