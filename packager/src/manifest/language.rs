//! Language tags: ISO 639-2 codes of tracks as the RFC 5646 tags of manifests, which take the two-letter code of ISO 639-1
//! where there is one (RFC 5646 §2.2.1). In: text from a foreign file. Out: a tag that is safe in any attribute.

/// ISO 639-2 codes, terminologic and bibliographic, each followed by its ISO 639-1 code (the Library of Congress list).
const SHORT_CODES: &str = "\
    aar aa abk ab afr af aka ak alb sq amh am ara ar arg an arm hy asm as ava av ave ae aym ay aze az \
    bak ba bam bm baq eu bel be ben bn bih bh bis bi bod bo bos bs bre br bul bg bur my cat ca ces cs \
    cha ch che ce chi zh chu cu chv cv cor kw cos co cre cr cym cy cze cs dan da deu de div dv dut nl \
    dzo dz ell el eng en epo eo est et eus eu ewe ee fao fo fas fa fij fj fin fi fra fr fre fr fry fy \
    ful ff geo ka ger de gla gd gle ga glg gl glv gv gre el grn gn guj gu hat ht hau ha heb he her hz \
    hin hi hmo ho hrv hr hun hu hye hy ibo ig ice is ido io iii ii iku iu ile ie ina ia ind id ipk ik \
    isl is ita it jav jv jpn ja kal kl kan kn kas ks kat ka kau kr kaz kk khm km kik ki kin rw kir ky \
    kom kv kon kg kor ko kua kj kur ku lao lo lat la lav lv lim li lin ln lit lt ltz lb lub lu lug lg \
    mac mk mah mh mal ml mao mi mar mr may ms mkd mk mlg mg mlt mt mon mn mri mi msa ms mya my nau na \
    nav nv nbl nr nde nd ndo ng nep ne nld nl nno nn nob nb nor no nya ny oci oc oji oj ori or orm om \
    oss os pan pa per fa pli pi pol pl por pt pus ps que qu roh rm ron ro rum ro run rn rus ru sag sg \
    san sa sin si slk sk slo sk slv sl sme se smo sm sna sn snd sd som so sot st spa es sqi sq srd sc \
    srp sr ssw ss sun su swa sw swe sv tah ty tam ta tat tt tel te tgk tg tgl tl tha th tib bo tir ti \
    ton to tsn tn tso ts tuk tk tur tr twi tw uig ug ukr uk urd ur uzb uz ven ve vie vi vol vo wel cy \
    wln wa wol wo xho xh yid yi yor yo zha za zho zh zul zu";

/// Returns the tag of a track's language; nothing when it is unknown (`und`) or no ISO 639-2 code.
pub(super) fn tag(code: &str) -> Option<&str> {
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_lowercase());
    if !is_code || code == "und" {
        return None;
    }
    let mut words = SHORT_CODES.split(' ');
    while let (Some(long), Some(short)) = (words.next(), words.next()) {
        if long == code {
            return Some(short);
        }
    }
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_shortest_code() {
        let tags = ["eng", "deu", "ger", "zho", "zul", "haw", "mul"].map(|code| tag(code).unwrap_or("-"));
        assert_eq!(tags, ["en", "de", "de", "zh", "zu", "haw", "mul"]);
    }

    #[test]
    fn hostile_and_unknown_text_is_no_language() {
        for code in ["und", "", "en", "ENG", "e\"g", "a\nb", "<a>", "aar aa", "\u{e9}n"] {
            assert_eq!(tag(code), None, "{code:?}");
        }
    }
}
