"""Pictures within the page itself: it loads nothing."""

import base64
import io

from PIL import Image

from reports.html.markup import Markup, element

QUALITY = 75
WIDE = 900  # pixels


def embedded(image: Image.Image, told: str, wide: int = WIDE) -> Markup:
    """The picture as WebP.

    Args:
        image: in colour.
        told: what it shows, for who does not see it.
        wide: pixels at most.
    """
    if image.width > wide:
        image = image.resize((wide, max(1, image.height * wide // image.width)), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    image.save(content, format="WEBP", quality=QUALITY)
    source = f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
    return element("img", src=source, alt=told, width=image.width, height=image.height)


def scrolled(content: Markup) -> Markup:
    """Pictures, scrolled where the page is too narrow for them."""
    return element("div", content, class_="scroll pictures")
