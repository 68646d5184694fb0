// What is looked for in every byte, samples of pictures and sound among them. Compressed media is as good as random: each
// pattern fixes at least 48 bits, so that a terabyte of it matches none by chance. Few patterns, so that the fastest of the
// engine's searches can be used.

rule windows_program_inside : malware {
  meta:
    description = "a Windows program"
  strings:
    $stub = "This program cannot be run in DOS mode"
    $old_stub = "This program must be run under Win32"
  condition:
    // The sentence stands behind the header that begins with `MZ`; alone it may be a subtitle.
    for any i in (1..#stub) : (for any back in (0x40..0xC0) : (uint16(@stub[i] - back) == 0x5A4D))
    or for any i in (1..#old_stub) : (for any back in (0x40..0xC0) : (uint16(@old_stub[i] - back) == 0x5A4D))
}

rule linux_program_inside : malware {
  meta:
    description = "a Linux program (ELF)"
  strings:
    // Class, byte order, version, ABI, padding, and one of the types REL, EXEC and DYN in either byte order.
    $elf = { 7F 45 4C 46 (01 | 02) (01 | 02) 01 ?? 00 00 00 00 00 00 00 00 (01 00 | 02 00 | 03 00 | 00 01 | 00 02 | 00 03) }
  condition:
    $elf
}

rule mac_program_inside : malware {
  meta:
    description = "a macOS program"
  strings:
    $x86_64 = { CF FA ED FE 07 00 00 01 }
    $arm64 = { CF FA ED FE 0C 00 00 01 }
  condition:
    any of them
}

rule script_inside : foreign {
  meta:
    description = "a script"
  strings:
    $php = /<\?php[ \t\r\n]/
    $shell = /#!\/(usr\/)?bin\/(env|bash|sh|python|perl|ruby|node)/
    $windows_shell = /powershell(\.exe)?[ \t]+-[a-z]/ nocase
  condition:
    any of them
}

rule web_page_inside : foreign {
  meta:
    description = "a web page"
  strings:
    $doctype = "<!doctype html" nocase
    $script = /<script[ \t\r\n>]/ nocase
  condition:
    any of them
}

rule archive_inside : foreign {
  meta:
    description = "an archive"
  strings:
    // A local file header of version 1.0, 2.0 or 4.5 whose method is stored or deflate: APPNOTE.TXT 4.3.7.
    $zip = { 50 4B 03 04 (0A | 14 | 2D) 00 ?? 0? (00 | 08) 00 }
    $rar = { 52 61 72 21 1A 07 (00 | 01) }
    $seven_zip = { 37 7A BC AF 27 1C 00 0? }
    $xz = { FD 37 7A 58 5A 00 00 0? }
    $cabinet = { 4D 53 43 46 00 00 00 00 }
  condition:
    any of them
}

rule document_inside : foreign {
  meta:
    description = "a document"
  strings:
    $pdf = /%PDF-[12]\.[0-9][ \r\n]/
    $office = { D0 CF 11 E0 A1 B1 1A E1 }
  condition:
    any of them
}
