"""Block kinds: what each declares in a spec, and how it builds its unsharded operators."""

from costc.registry import Registry

ATTENTION: Registry[type] = Registry("attention kind", "costc.blocks.attention")
MIXER: Registry[type] = Registry("mixer kind", "costc.blocks.mixer")
FFN: Registry[type] = Registry("FFN kind", "costc.blocks.ffn")
AUXILIARY: Registry[type] = Registry("auxiliary kind", "costc.blocks.auxiliary")
#: part of a layer -> the kinds of block that it may be
KINDS = {"attention": ATTENTION, "mixer": MIXER, "ffn": FFN, "auxiliary": AUXILIARY}
