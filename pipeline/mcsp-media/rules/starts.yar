// What a stretch of bytes is by how it begins. Each rule sees three kinds of stretch, named by `place`: the `head` of the
// source (64 KiB), a `part` (4 KiB from where a box that holds no samples begins, or from where the boxes end), and the
// `tail` (the last 64 KiB, where a ZIP reader looks). Short magic numbers are safe here because they stand at fixed places.

rule eicar : malware {
  meta:
    // As bytes, so that no scanner takes this file for its own test file. https://www.eicar.org/download-anti-malware-testfile
    description = "the EICAR test virus"
  strings:
    $eicar = { 58 35 4F 21 50 25 40 41 50 5B 34 5C 50 5A 58 35 34 28 50 5E 29 37 43 43 29 37 7D 24 45 49 43 41 52
               2D 53 54 41 4E 44 41 52 44 2D 41 4E 54 49 56 49 52 55 53 2D 54 45 53 54 2D 46 49 4C 45 21 24 48 2B 48 2A }
  condition:
    // The standard asks for the first 68 bytes; a small file may carry it further in.
    place == "head" and ($eicar at 0 or (source_bytes < 65536 and $eicar))
}

rule windows_program : malware {
  meta:
    description = "a Windows or DOS program"
  condition:
    uint16(0) == 0x5A4D and (place == "head" or uint32(uint32(0x3C)) == 0x00004550)
}

rule linux_program : malware {
  meta:
    description = "a Linux program (ELF)"
  condition:
    place != "tail" and uint32be(0) == 0x7F454C46
}

rule mac_program : malware {
  meta:
    description = "a macOS program or a Java class"
  condition:
    place != "tail" and (uint32be(0) == 0xFEEDFACE or uint32be(0) == 0xFEEDFACF or uint32be(0) == 0xCEFAEDFE
      or uint32be(0) == 0xCFFAEDFE or uint32be(0) == 0xCAFEBABE)
}

rule portable_program : malware {
  meta:
    description = "an Android or WebAssembly program"
  condition:
    // DEX: `dex\n03`; WebAssembly: `\0asm` and version 1.
    place != "tail" and ((uint32be(0) == 0x6465780A and uint16be(4) == 0x3033)
      or (uint32be(0) == 0x0061736D and uint32(4) == 1))
}

rule windows_shortcut : malware {
  meta:
    description = "a Windows shortcut"
  condition:
    place != "tail" and uint32(0) == 0x0000004C and uint32(4) == 0x00021401
}

rule script : foreign {
  meta:
    description = "a script"
  strings:
    $shebang = /#![ \t]*\/[a-z]/
    $batch = "@echo off" nocase
    $windows_script = "WScript.CreateObject" nocase
    $windows_shell = "Set-ExecutionPolicy" nocase
  condition:
    place != "tail" and ($shebang at 0 or $batch at 0 or $windows_script in (0..1445) or $windows_shell in (0..1445))
}

rule php_script : foreign {
  meta:
    description = "a PHP script"
  strings:
    $open = /<\?php[ \t\r\n]/ nocase
    $echo = "<?= "
  condition:
    place != "tail" and ($open or $echo at 0)
}

rule web_page : foreign {
  meta:
    description = "a web page"
  strings:
    $doctype = "<!doctype html" nocase
    $html = /<html[ \t\r\n>]/ nocase
    $script = /<script[ \t\r\n>]/ nocase
    $frame = /<iframe[ \t\r\n>]/ nocase
  condition:
    // Browsers look at the first 1445 bytes: https://mimesniff.spec.whatwg.org/#reading-the-resource-header
    (place == "head" and any of them in (0..1445)) or (place == "part" and any of them)
}

rule zip_archive : foreign {
  meta:
    description = "a ZIP archive"
  condition:
    // APPNOTE.TXT 4.3.7 and 4.3.16: a first entry, or the end of an empty archive.
    place != "tail" and (uint32be(0) == 0x504B0304 or uint32be(0) == 0x504B0506)
}

rule zip_directory : foreign {
  meta:
    description = "the directory of a ZIP archive"
  strings:
    // The end of central directory of an archive in one piece; its comment may be 65,535 bytes long.
    $end = { 50 4B 05 06 00 00 00 00 }
  condition:
    place == "tail" and for any i in (1..#end) : (uint16(@end[i] + 8) == uint16(@end[i] + 10))
}

rule archive : foreign {
  meta:
    description = "an archive"
  strings:
    $rar = { 52 61 72 21 1A 07 }
    $seven_zip = { 37 7A BC AF 27 1C }
    $xz = { FD 37 7A 58 5A 00 }
    $bzip = /BZh[1-9]1AY&SY/
    $cabinet = { 4D 53 43 46 00 00 00 00 }
  condition:
    place != "tail" and (any of them at 0
      // gzip with deflate, RFC 1952; Zstandard, RFC 8878.
      or (uint16be(0) == 0x1F8B and uint8(2) == 8 and uint8(3) < 32) or uint32(0) == 0xFD2FB528
      // POSIX tar: `ustar` behind the name and its numbers.
      or (uint32be(257) == 0x75737461 and uint8(261) == 0x72)
      // ISO 9660: `CD001` in the first volume descriptor.
      or (uint32be(32769) == 0x43443030 and uint8(32773) == 0x31))
}

rule document : foreign {
  meta:
    description = "a document"
  strings:
    // Readers take a PDF header within the first 1024 bytes, ISO 32000-1 annex H.
    $pdf = "%PDF-"
    $office = { D0 CF 11 E0 A1 B1 1A E1 }
    $rich_text = "{\\rtf"
  condition:
    place != "tail" and ($pdf in (0..1024) or $office at 0 or $rich_text at 0)
}
