/** What may a process do that runs as agent, broker or reader do? Tried by a program in a copy of each unit. */
import { type Case, must } from "../case.ts"
import type { Site } from "../site.ts"

/** What every unit refuses; `vm-probe` prints one line for each try. */
const refused = [
  ...["write-/etc", "write-/usr", "write-/srv", "open-/dev/mem", "open-/dev/tpm0", "open-/dev/vda"],
  ...[
    "unshare-user",
    "unshare-mount",
    "unshare-network",
    "socket-packet",
    "mount",
    "init-module",
    "setuid-0",
    "settime",
  ],
]

/** What one unit refuses besides, and what it needs. The reader's two capabilities are what it is for. */
const units = {
  agent: {
    refused: ["open-/dev/tpmrm0", "read-/etc/shadow", "read-ima-log", "ptrace", "socket-netlink"],
    needed: ["socket-inet", "socket-inet6", "socket-unix"],
  },
  broker: {
    refused: ["read-/etc/shadow", "read-ima-log", "ptrace", "socket-inet", "socket-inet6", "socket-netlink"],
    needed: ["open-/dev/tpmrm0", "socket-unix"],
  },
  reader: {
    refused: ["open-/dev/tpmrm0", "socket-inet", "socket-inet6", "socket-netlink"],
    needed: ["read-ima-log", "read-firmware-log", "socket-unix"],
  },
} as const

const confined: Case = {
  name: "confined",
  says: "units refuse files, devices, ptrace, namespaces; broker and reader a network, agent and reader the TPM",
  leaves: "as it was",
  run: async site => {
    for (const [unit, { refused: own, needed }] of Object.entries(units)) {
      const said = await probe(site, unit)
      const may = [...refused, ...own].filter(what => (said.get(what) ?? "done") === "done")
      must(may.length === 0, `assay-${unit} may do: ${may.join(", ")}`)
      const lacks = needed.filter(what => said.get(what) !== "done")
      must(lacks.length === 0, `assay-${unit} cannot do: ${lacks.map(what => `${what} ${said.get(what)}`).join(", ")}`)
    }
    return `${Object.keys(units).join(", ")}: each refuses what it does not need`
  },
}

/** The same unit under another name, with another program. */
async function probe({ machine }: Site, unit: string): Promise<ReadonlyMap<string, string>> {
  const name = `vm-probe-${unit}`
  const said = await machine.says(`set -e
cp /usr/lib/systemd/system/assay-${unit}.service /run/systemd/system/${name}.service
mkdir -p /run/systemd/system/${name}.service.d
cat > /run/systemd/system/${name}.service.d/probe.conf <<'END'
[Service]
Type=oneshot
ExecStartPre=
ExecStart=
ExecStart=/usr/bin/perl /usr/local/sbin/vm-probe
StandardOutput=truncate:/run/${name}.out
RuntimeDirectoryPreserve=yes
Restart=no
WatchdogSec=0
END
systemctl daemon-reload
systemctl start ${name}.service
cat /run/${name}.out
rm -r /run/systemd/system/${name}.service /run/systemd/system/${name}.service.d
systemctl daemon-reload`)
  return new Map(said.split("\n").map(line => [line.split(" ")[0] ?? "", line.split(" ")[1] ?? ""]))
}

export const confinedCases: readonly Case[] = [confined]
