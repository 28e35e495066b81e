/** Is what somebody alters on the machine found, and named? Weights, a module, the agent's own code, the TPM's own register. */
import { execFileSync } from "node:child_process"
import { closeSync, openSync, readSync, writeSync } from "node:fs"
import { join } from "node:path"
import type { Finding } from "../../../attestation/verify/finding.ts"
import { bad, type Case, good, must } from "../case.ts"
import { withSbin } from "../machine.ts"
import { until } from "../patience.ts"
import { describe, type Site, type Verdict } from "../site.ts"

const plainFile = "/srv/models/plain/weights.bin"
const protectedFile = "/srv/models/protected/weights.bin"
const imaLog = "/sys/kernel/security/ima/ascii_runtime_measurements"

const plain: Case = {
  name: "weights changed",
  says: "one byte of a plain file",
  leaves: "contraindicated",
  run: async site => {
    await site.machine.run(flip(plainFile))
    const verdict = await site.answer()
    await site.machine.run(flip(plainFile))
    return bad(verdict, "reference.differs", /plain.*weights\.bin/).component
  },
}

/** One bit of one byte, in place. */
const flip = (path: string, at = 4_000_000): string => `set -e
byte=$(od -An -tu1 -j ${at} -N 1 ${path} | tr -d ' ')
printf "\\\\$(printf '%03o' $((byte ^ 1)))" | dd of=${path} bs=1 seek=${at} conv=notrunc status=none
sync`

const protects: Case = {
  name: "protect",
  says: "assay protect switches fs-verity on; IMA logs the kernel's own digest",
  leaves: "as it was",
  run: async site => {
    const { machine } = site
    await machine.run("assay protect /srv/models/protected --yes")
    const attributes = (await machine.says(`lsattr ${protectedFile}`)).split(" ")[0] ?? ""
    must(attributes.includes("V"), `fs-verity is not on: ${attributes}`)
    const written = await machine.run(`echo x >> ${protectedFile}`, { good: [1] })
    must(/not permitted/.test(written.err), `a protected file can be written to: ${written.err}`)
    const measured = (await machine.says(`fsverity measure ${protectedFile}`)).split(" ")[0] ?? ""
    good(await site.answer())
    await machine.run(`cat ${protectedFile} > /dev/null`)
    const logged = await machine.says(`grep -F ${protectedFile} ${imaLog} || true`)
    must(logged.includes(`verity:${measured}`), `IMA logged another digest than ${measured}: ${logged}`)
    return `${measured.slice(0, 15)}… by the kernel, IMA and us`
  },
}

const damaged: Case = {
  name: "protected weights damaged",
  says: "a block on the disk, beneath the kernel: it refuses the read, and the finding says so",
  leaves: "contraindicated",
  run: async site => {
    const { machine } = site
    await machine.run("sync")
    damage(site, 1000)
    try {
      await machine.run("echo 3 > /proc/sys/vm/drop_caches")
      const read = await machine.run(`cat ${protectedFile} > /dev/null`, { good: [1] })
      must(/Input\/output error/.test(read.err), `the kernel did not refuse: ${read.err}`)
      const verdict = await judged(site, each => each.findings.some(({ seen }) => seen.includes("kernel refuses")))
      return idsOf(verdict, bad(verdict, "source.unreadable", /protected.*kernel refuses/))
    } finally {
      damage(site, 1000)
      await machine.run("echo 3 > /proc/sys/vm/drop_caches")
    }
  },
}

/** Asks until the verdict is as it should be: what reads in the background takes its time. */
async function judged(site: Site, as: (verdict: Verdict) => boolean): Promise<Verdict> {
  let last = await site.answer()
  const holds = async (): Promise<boolean> => as(last) || as((last = await site.answer()))
  await until(holds, 600, "no such verdict").catch(error => {
    throw new Error(`${String(error)}; the last was:\n${describe(last)}`)
  })
  return last
}

/** Flips one bit in block `index` of the protected file, where it lies on the disk. */
function damage({ machine }: Site, index: number): void {
  const disk = join(machine.folder, "weights.raw")
  const question = ["-R", `bmap /protected/weights.bin ${index}`, disk]
  const said = execFileSync("debugfs", question, { env: withSbin, stdio: "pipe" }).toString("utf8")
  const block = Number(said.trim())
  must(Number.isSafeInteger(block) && block > 0, `the file has no block ${index}: ${said}`)
  const byte = Buffer.alloc(1)
  const file = openSync(disk, "r+")
  readSync(file, byte, 0, 1, block * 4096 + 5)
  writeSync(file, Buffer.of((byte[0] ?? 0) ^ 1), 0, 1, block * 4096 + 5)
  closeSync(file)
}

/** The finding that was asked for, and which others came with it. */
const idsOf = ({ findings }: Verdict, { id, component }: Finding): string =>
  `${id} (${component}), of ${[...new Set(findings.map(each => each.id))].join(", ")}`

const moduleFile = "/usr/lib/modules/$(uname -r)/kernel/drivers/net/dummy.ko"

const moduleReplaced: Case = {
  name: "module replaced",
  says: "a module's file: Secure Boot refuses to load it, IMA and the verdict name it",
  leaves: "contraindicated",
  run: async site => {
    const { machine } = site
    await machine.run(`set -e; cp -p ${moduleFile} /root/dummy.ko; printf altered >> ${moduleFile}`)
    const altered = await machine.says(`sha256sum < ${moduleFile} | cut -d' ' -f1`)
    const refused = await machine.run("modprobe dummy", { good: [1] })
    must(/not permitted|Key was rejected/.test(refused.err), `the module was not refused: ${refused.err}`)
    const logged = await machine.says(`grep -F dummy.ko ${imaLog} || true`)
    must(logged.includes(altered), `IMA did not log it: ${logged}`)
    const verdict = await site.answer()
    await machine.run(`cp -p /root/dummy.ko ${moduleFile}`)
    return idsOf(verdict, bad(verdict, "files.module", /dummy/))
  },
}

const codeEdited: Case = {
  name: "code edited",
  says: "the agent's own code: its digest differs, and IMA logged what was run",
  leaves: "contraindicated",
  run: async site => {
    const { machine } = site
    const code = "/usr/lib/assay/code/cli/assay.js"
    await machine.run(
      `set -e; cp -p ${code} /root/assay.js; echo '// edited' >> ${code}; systemctl restart assay-agent`,
    )
    const verdict = await site.answer("quick", 600)
    const edited = await machine.says(`sha256sum < ${code} | cut -d' ' -f1`)
    const logged = await machine.says(`grep -F ${code} ${imaLog} || true`)
    await machine.run(`cp -p /root/assay.js ${code}; systemctl restart assay-agent`)
    must(logged.includes(edited), `IMA did not log the edited file: ${logged}`)
    return idsOf(verdict, bad(verdict, "reference.differs", /agent/))
  },
}

const registerReset: Case = {
  name: "PCR 23 reset",
  says: "by root: the log does not replay any more, or was written anew",
  leaves: "contraindicated",
  run: async site => {
    await site.machine.run("tpm2_pcrreset 23")
    let last = await site.verdict()
    const told = (): string | undefined => last.findings.find(({ id }) => /^log\.(?:replay|rewritten)$/.test(id))?.id
    const noticed = async (): Promise<boolean> => {
      if (told() === undefined) last = await site.verdict()
      return told() !== undefined
    }
    await until(noticed, 600, "nobody noticed").catch(error => {
      throw new Error(`${String(error)}; the last verdict was:\n${describe(last)}`)
    })
    const { standing } = await site.status()
    must(standing.state === "contraindicated", `the machine stands as ${standing.state}:\n${describe(last)}`)
    return `${last.tier}: ${told()}; the machine stands contraindicated`
  },
}

export const protectCases: readonly Case[] = [protects]
export const plainCases: readonly Case[] = [plain]
export const alteredCases: readonly Case[] = [damaged, moduleReplaced, codeEdited]
/** It makes every answer unauthentic, and shows in the boot after it: only there is the reset's counter stated. */
export const resetCases: readonly Case[] = [registerReset]
