// Tells text that was decoded with the wrong encoding ("mojibake") from text that only looks unusual.
// The categories and rules are those of ftfy 6.3 (https://github.com/rspeer/python-ftfy, Apache-2.0,
// Robyn Speer), whose `is_bad` and UTF-8 detector the reference prompt cleaning uses: pairs of
// characters that nobody writes next to each other, such as an accented letter and a currency sign.

const CATEGORIES = {
  common: "\u00a0\u00ad·´–—―…’",
  c1: "\u0080-\u009f",
  bad: "¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\ufffdªº",
  law: "¶§",
  currency: "¢£¥₧€",
  start: "¡«¿©΄΅‘‚“„•‹\uf8ff",
  end: "®»˝”›™",
  numeric: "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№",
  kaomoji: "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°",
  upper: "À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ",
  lower: "ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ",
  upperCommon: "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я",
  lowerCommon: "α-ωάέήίΰа-џ",
  box: "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓",
  // White space and word characters as Python's `re` counts them.
  space: "\\s\\x1c-\\x1f\\x85",
  word: "\\p{L}\\p{N}_",
} as const;

/** `{name}` stands for the characters of a category. One rule a line, as ftfy lists them. */
const RULES = [
  "[{c1}]",
  "[{bad}{lower}{upper}{box}{start}{end}{currency}{numeric}{law}][{bad}]",
  "[a-zA-Z][{lowerCommon}{upperCommon}][{bad}]",
  "[{bad}][{lower}{upper}{box}{start}{end}{currency}{numeric}{law}]",
  "[{lower}{lowerCommon}{box}{end}{currency}{numeric}][{upper}]",
  "[{box}{end}{currency}{numeric}][{lower}]",
  "[{lower}{box}{end}][{currency}]",
  "[{space}][{upper}][{currency}]",
  "[{upper}{box}][{numeric}{law}]",
  "[{lower}{upper}{box}{currency}{end}][{start}][{numeric}]",
  "[{lower}{upper}{currency}{numeric}{box}{law}][{end}][{start}]",
  "[{currency}{numeric}{box}][{start}]",
  "[a-z][{upper}][{start}{currency}]",
  "[{box}][{kaomoji}]",
  "[{lower}{upper}{currency}{numeric}{start}{end}{law}][{box}]",
  "[{box}][{end}]",
  "[{lower}{upper}][{start}{end}][{word}]",
  // The ligature oe when no unaccented Latin letter follows, and a degree sign after a capital.
  "[Œœ][^A-Za-z]",
  "[{upper}]°",
  // Windows-1252: two characters, then Arabic, then South Asian scripts.
  "[ÂÃÎÐ][€œŠš¢£Ÿž\\xa0\\xad®©°·»{start}{end}–—´]",
  "×[²³]",
  "[ØÙ][{common}{currency}{bad}{numeric}{start}ŸŠ®°µ»][ØÙ][{common}{currency}{bad}{numeric}{start}ŸŠ®°µ»]",
  "à[²µ¹¼½¾]",
  // MacRoman.
  "√[±∂†≠®™´≤≥¥µø]",
  "≈[°¢]",
  "‚Ä[ìîïòôúùû†°¢π]",
  "‚[âó][àä°ê]",
  // Windows-1251: U+2000 and up, Latin-1 or Cyrillic, and twice misread.
  "вЂ",
  "[ВГРС][{c1}{bad}{start}{end}{currency}°µ][ВГРС]",
  "ГўВЂВ.[A-Za-z ]",
  // A with grave or acute, and the no-break space.
  "Ã[\\xa0¡]",
  "[a-z][{space}]?[ÃÂ][ ]",
  "^[ÃÂ][ ]",
  "[a-z.,?!{end}]Â[ {start}{end}]",
  // Windows-1253 and Windows-1257.
  "β€[™\\xa0Ά\\xad®°]",
  "[ΒΓΞΟ][{c1}{bad}{start}{end}{currency}°][ΒΓΞΟ]",
  "ā€",
];

const BADNESS = new RegExp(
  RULES.join("|").replace(/\{(\w\w+)\}/g, (_, name: string) => CATEGORIES[name as keyof typeof CATEGORIES]),
  "u",
);

/** Whether the text holds a sequence that is far likelier to be misread UTF-8 than meant. */
export function looksMisread(text: string): boolean {
  return BADNESS.test(text);
}

const FIRST_OF_2 =
  "ĂÂÄĀÅÃÆĆČÇĎĐÉĚÊËĖÈĒĘÐĞĢÍÎÏİÌĪĶĹĻŁŃŇŅÑÓÔÖŐÒŌØÕŘŚŠŞŢÞÚÛÜŰÙŪŲŮÝŹŽŻß×ΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩΪΫάέήίВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ";
const FIRST_OF_3 = "áăâäàāąåãæćčçďéěêëėèēęęģíîïìīįķĺļŕźΰαβγδεζηθικλμνξοабвгдежзийклмноп";
const FIRST_OF_4 = "đðğóšπσру";
const CONTINUATION_STRICT =
  "\\u0080-¿ĄÆĽŁØŖŚŠŞŤŸŹŽŻŒąæƒľłøŗśšşťźžżœˆˇ˘˛˜˝΄΅ΆΈΉΊΌΎΏЁЂЃЄЅІЇЈЉЊЋЌЎЏёђѓєѕіїјљњћќўџҐґ†‡‰‹›€№™";
const CONTINUATION = `${CONTINUATION_STRICT} –—―‘’‚“”„•…`;

/**
 * Runs of characters that could be one UTF-8 sequence after another, read in some single-byte encoding;
 * not when they continue a longer garble, where mending a few characters makes it worse.
 */
export const MISREAD_SEQUENCES = new RegExp(
  `(?<![${CONTINUATION_STRICT}])(?:[${FIRST_OF_2}][${CONTINUATION}]|[${FIRST_OF_3}][${CONTINUATION}]{2}|[${FIRST_OF_4}][${CONTINUATION}]{3})+`,
  "gu",
);
