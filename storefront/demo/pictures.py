"""Product pictures: one small SVG per product, drawn from its category and number."""

import os
from pathlib import Path

from storefront.demo.products import Product, make_products

_SHAPES = {
    "kitchen": '<path d="M88 150h144l-10 66a20 20 0 0 1-20 17h-84a20 20 0 0 1-20-17z"/>'
    '<path d="M232 160h54a12 12 0 0 1 0 24h-58z"/><path d="M76 132h168v14H76z"/>',
    "living": '<path d="M112 60h96l34 92H78z"/><path d="M153 152h14v92h-14z"/>'
    '<path d="M110 244h100v14H110z"/>',
    "bedroom": '<path d="M60 110h16v130H60zM244 160h16v80h-16z"/><path d="M76 172h168v40H76z"/>'
    '<rect x="86" y="140" width="60" height="28" rx="12"/>',
    "garden": '<path d="M104 170h112l-16 80h-80z"/><path d="M152 90h16v80h-16z"/>'
    '<path d="M160 118c-46 2-62-22-64-50 40-2 62 14 64 50z"/>'
    '<path d="M160 136c44 2 60-20 62-44-38-2-60 8-62 44z"/>',
    "outdoor": '<path d="M160 76l106 160H54zm0 62l-40 98h80z" fill-rule="evenodd"/>',
    "sport": '<circle cx="160" cy="160" r="82"/><path d="M160 78v164M78 160h164M102 102c40 34 76 '
    '34 116 0M102 218c40-34 76-34 116 0" fill="none" stroke="#fff" stroke-width="8" opacity=".7"/>',
    "shoes": '<path d="M66 120c16 14 36 14 52 0l62 52c16 12 66 10 76 40v22H66z"/>'
    '<path d="M60 242h200v14H60z"/>',
    "bags": '<path d="M126 110V94a34 34 0 0 1 68 0v16h-14V94a20 20 0 0 0-40 0v16z"/>'
    '<rect x="86" y="110" width="148" height="134" rx="22"/>'
    '<rect x="114" y="176" width="92" height="46" rx="8" fill="#fff" opacity=".6"/>',
    "audio": '<path d="M76 196v-30a84 84 0 0 1 168 0v30h-18v-30a66 66 0 0 0-132 0v30z"/>'
    '<rect x="70" y="176" width="44" height="66" rx="16"/>'
    '<rect x="206" y="176" width="44" height="66" rx="16"/>',
    "desk": '<path d="M92 238l20-56L220 74l36 36-108 108z"/><path d="M80 250h150v12H80z"/>',
    "toys": '<rect x="70" y="164" width="76" height="76" rx="8"/>'
    '<rect x="160" y="164" width="76" height="76" rx="8" opacity=".7"/>'
    '<rect x="116" y="78" width="76" height="76" rx="8" opacity=".85"/>',
    "books": '<path d="M160 106c-26-22-62-22-92-14v134c30-8 66-8 92 14 26-22 62-22 92-14V92c-30-8'
    '-66-8-92 14z"/><path d="M156 110h8v126h-8z" fill="#fff" opacity=".7"/>',
}


def draw(product: Product) -> str:
    """Return the product's picture, 320 by 320."""
    tilt = product.id * 37 % 17 - 8
    scale = 0.82 + product.id * 53 % 7 / 40
    colour, style = product.category.colour, product.id // 12 % 3
    shape, radius = _SHAPES[product.category.slug], 118 + product.id % 4 * 8
    ground, ink, stage = ("#fff", colour, "#fff")
    if style == 1:  # light on dark
        ground, ink, stage = (colour, "#fff", "#000")
        shape = shape.replace("#fff", colour)
    light = 1 if style == 1 else 0.10 + product.id * 29 % 5 / 40
    corner = 28 if style == 2 else radius
    side = 2 * radius
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 320" role="img">'
        f'<rect width="320" height="320" fill="{ground}"/>'
        f'<rect width="320" height="320" fill="{colour}" opacity="{light:.3f}"/>'
        f'<rect x="{160 - radius}" y="{160 - radius}" width="{side}" height="{side}"'
        f' rx="{corner}" fill="{stage}" opacity="{0.12 if style == 1 else 0.55}"/>'
        f'<g fill="{ink}" transform="translate(160 160) rotate({tilt}) scale({scale:.3f})'
        f' translate(-160 -160)">{shape}</g></svg>\n'
    )


def ensure_pictures(folder: Path) -> None:
    """Write the pictures that are missing; each appears whole or not at all."""
    present = {path.name for path in folder.iterdir()}
    for product in make_products():
        if product.image in present:
            continue
        partial = folder / f".{product.image}.{os.getpid()}"
        partial.write_text(draw(product))
        partial.chmod(0o644)
        partial.rename(folder / product.image)
