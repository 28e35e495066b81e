/** Where do packages put libraries: of the distribution, of their makers, of Python, of the runtimes themselves? */
import type { Host } from "../../host.ts"
import { type Closed, type Folders, foldersOn } from "./folders.ts"
import type { Server } from "../process/server.ts"
import { posix } from "node:path"

/** Where packages of distributions and of the makers put libraries. */
export const libraryFolders: readonly string[] = [
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/lib64",
  "/usr/local/lib",
  "/opt/cuda/lib64",
  "/opt/tensorrt/lib",
  "/usr/local/lib/ollama",
  "/usr/lib/ollama",
]
/** Folders that hold an environment of Python, or environments side by side. */
const roots = ["/usr", "/usr/local", "/opt/conda", "/opt/venv", "/venv"]
const rootParents = ["/opt", "/opt/conda/envs", "/srv"]
const most = 32

/** Real paths of the folders that hold packages of Python, and what was closed on the way to others. */
export type Sites = { readonly folders: readonly string[]; readonly closed: readonly Closed[] }

/** Every site-packages (or Debian's dist-packages) there, and of the environments that servers run from, by real path. */
export async function sitePackages(host: Host, servers: readonly Server[]): Promise<Sites> {
  const looked = foldersOn(host)
  const found = new Set<string>()
  for (const root of await pythonRoots(looked, servers)) {
    const versions = (await looked.names(`${root}/lib`)).filter(each => /^python3(?:\.\d{1,2})?$/.test(each))
    for (const version of versions)
      for (const name of ["site-packages", "dist-packages"])
        for (const real of await looked.real(`${root}/lib/${version}/${name}`)) if (found.size < most) found.add(real)
  }
  return { folders: [...found].toSorted(), closed: looked.closed() }
}

async function pythonRoots({ names }: Folders, servers: readonly Server[]): Promise<string[]> {
  const children: string[] = []
  for (const parent of rootParents)
    children.push(
      ...(await names(parent))
        .filter(isRoot)
        .slice(0, 256)
        .map(each => `${parent}/${each}`),
    )
  const environments = servers
    .flatMap(({ given }) => [given[0] ?? "", given[1] ?? ""])
    .filter(each => posix.isAbsolute(each))
  const near = environments.map(each => posix.dirname(posix.dirname(each)))
  return [...new Set([...roots, ...children, ...near])]
}

/** What fsck put aside is root's alone, and no environment. */
const isRoot = (name: string): boolean => name !== "lost+found"

/** Where packages of Python keep libraries of their makers: nvidia/<name>/lib, and a few of their own. */
export async function pythonLibraryFolders({ names }: Folders, site: string): Promise<string[]> {
  const parts = (await names(`${site}/nvidia`)).slice(0, 64).map(each => `${site}/nvidia/${each}/lib`)
  return [...parts, `${site}/torch/lib`, `${site}/tensorrt_libs`, `${site}/tensorrt`, posix.join(site, "../..")]
}
