/** What can follow on the command line? Completion for bash, zsh and fish, made from the table of commands. */
import type { Command } from "../../cli/command.ts"
import { commands } from "../../cli/commands.ts"

/** An option as a shell needs it: how it is spelt, whether a value follows it, and what it says. */
type Option = { readonly flag: string; readonly takes: string; readonly says: string }

const optionsOf = ({ options }: Command): Option[] =>
  [...options, ["--help", "how it is used"] as const].map(([flags, says]) => {
    const [, flag = "", takes = ""] = /(--[a-z-]+)(?: <([^>]+)>)?/.exec(flags) ?? []
    return { flag, takes, says }
  })

/** Values that are files; anything else that follows an option is a person's own word. */
const isFile = (takes: string): boolean => /file|folder|path|manifest|pem/.test(takes)
const takesFiles = ({ takes }: Command): boolean => takes.some(([spelling]) => isFile(spelling))

/** First words, and of each the second words that may follow it. */
function words(): ReadonlyMap<string, readonly Command[]> {
  const groups = new Map<string, Command[]>()
  for (const each of commands) {
    const [first = ""] = each.name.split(" ")
    groups.set(first, [...(groups.get(first) ?? []), each])
  }
  return groups
}

const isGroup = (held: readonly Command[]): boolean => held.some(({ name }) => name.includes(" "))
const secondOf = ({ name }: Command): string => name.split(" ")[1] ?? ""

/** For /usr/share/bash-completion/completions/assay. */
export function bash(): string {
  const rows = commands.map(each => {
    const flags = optionsOf(each).map(({ flag }) => flag)
    return `    "${each.name}") flags="${flags.join(" ")}" files=${takesFiles(each) ? "yes" : "no"} ;;`
  })
  const groups = [...words()].filter(([, held]) => isGroup(held))
  return `# bash completion of assay(1), made from its table of commands
_assay() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} command=\${COMP_WORDS[1]} flags files
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "${[...words().keys()].join(" ")} --help --version" -- "$current")
    return
  fi
  case $command in
${groups.map(([first, held]) => `    ${first}) command="${first} \${COMP_WORDS[2]}"; set -- ${held.map(secondOf).join(" ")} ;;`).join("\n")}
  esac
  if [ "$COMP_CWORD" = 2 ] && [ "$command" != "\${COMP_WORDS[1]}" ]; then
    mapfile -t COMPREPLY < <(compgen -W "$*" -- "$current")
    return
  fi
  case $command in
${rows.join("\n")}
    *) return ;;
  esac
  case $current:$before in
    -*) mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$current") ;;
    *:${fileFlags().join("|*:")}) compopt -o default ;;
    *) [ "$files" = no ] || compopt -o default ;;
  esac
}
complete -F _assay assay
`
}

const fileFlags = (): string[] =>
  [
    ...new Set(
      commands
        .flatMap(optionsOf)
        .filter(({ takes }) => isFile(takes))
        .map(({ flag }) => flag),
    ),
  ].toSorted()

/** For /usr/share/zsh/vendor-completions/_assay. */
export function zsh(): string {
  const list = (names: readonly (readonly [string, string])[]): string =>
    names.map(([name, says]) => `'${quoted(`${name}:${says}`)}'`).join(" ")
  const first = [...words()].map(
    ([name, held]) => [name, isGroup(held) ? held.map(secondOf).join(", ") : (held[0]?.says ?? "")] as const,
  )
  const groups = [...words()].filter(([, held]) => isGroup(held))
  return `#compdef assay
# zsh completion of assay(1), made from its table of commands
_assay() {
  local command=$words[2]
  local -a names
  if (( CURRENT == 2 )); then
    names=(${list(first)})
    _describe command names
    return
  fi
  case $command in
${groups
  .map(
    ([name, held]) => `    ${name})
      if (( CURRENT == 3 )); then
        names=(${list(held.map(each => [secondOf(each), each.says] as const))})
        _describe command names
        return
      fi
      command="${name} $words[3]" ;;`,
  )
  .join("\n")}
  esac
  case $command in
${commands.map(zshRow).join("\n")}
  esac
}
_assay "$@"
`
}

function zshRow(command: Command): string {
  const options = optionsOf(command).map(({ flag, takes, says }) => {
    const value = takes === "" ? "" : `:${takes}:${isFile(takes) ? "_files" : " "}`
    return `'${quoted(`${flag}[${says.replaceAll(/[[\]]/g, "\\$&")}]`)}${value}'`
  })
  return `    "${command.name}") _arguments ${[...options, takesFiles(command) ? "'*:file:_files'" : "'*: : '"].join(" ")} ;;`
}

const quoted = (text: string): string => text.replaceAll("'", "'\\''")

/** For /usr/share/fish/vendor_completions.d/assay.fish. */
export function fish(): string {
  const firsts = [...words()].map(([name, held]) =>
    fishLine(
      "__fish_use_subcommand",
      `-a ${name} -d '${fished(isGroup(held) ? held.map(secondOf).join(", ") : (held[0]?.says ?? ""))}'`,
    ),
  )
  const seconds = [...words()]
    .filter(([, held]) => isGroup(held))
    .flatMap(([name, held]) =>
      held.map(each =>
        fishLine(
          `__fish_seen_subcommand_from ${name}; and not __fish_seen_subcommand_from ${held.map(secondOf).join(" ")}`,
          `-a ${secondOf(each)} -d '${fished(each.says)}'`,
        ),
      ),
    )
  const options = commands.flatMap(each => {
    const seen = each.name
      .split(" ")
      .map(word => `__fish_seen_subcommand_from ${word}`)
      .join("; and ")
    return optionsOf(each).map(({ flag, takes, says }) => {
      const value = takes === "" ? "" : isFile(takes) ? " -r -F" : " -x"
      return fishLine(seen, `-l ${flag.slice(2)}${value} -d '${fished(says)}'`)
    })
  })
  const files = commands
    .filter(takesFiles)
    .map(({ name }) => `complete -c assay -n '__fish_seen_subcommand_from ${name.split(" ").at(-1)}' -F`)
  return [
    "# fish completion of assay(1), made from its table of commands",
    "complete -c assay -f",
    ...[...firsts, ...seconds, ...options, ...files],
    "",
  ].join("\n")
}

const fishLine = (when: string, what: string): string => `complete -c assay -n '${when}' ${what}`
const fished = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")
