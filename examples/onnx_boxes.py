"""Objects in a photo, by a detector that `vitdense export … --with-boxes` has written.

Needs onnxruntime, numpy and Pillow alone:

    python onnx_boxes.py retinanet_transcnn.onnx photo.jpg found.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageDraw, ImageOps

model, photo, picture = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
certificate = json.loads(session.get_modelmeta().custom_metadata_map['vitdense'])
image = ImageOps.exif_transpose(Image.open(photo)).convert('RGB')

# as in the tests of its training: bilinear, to a longer and a shorter side at most
resize = certificate['resize']
factor = min(resize['longer'] / max(image.size), resize['shorter'] / min(image.size))
width, height = (int(side * factor + 0.5) for side in image.size)
x, y = image.width / width, image.height / height
resized = image.transform(
    (width, height), Image.Transform.AFFINE, (x, 0, 0, 0, y, 0), Image.Resampling.BILINEAR
)
for side, (least, most) in ((height, certificate['heights']), (width, certificate['widths'])):
    if not least <= side <= most:
        sys.exit(f'{photo}: {height} × {width} pixels after the resize are not covered by the certificate')

pixels = np.asarray(resized)[None]  # (1, H, W, 3), uint8, RGB: the rest is in the file
outputs = dict(zip(certificate['outputs'], session.run(None, {'image': pixels}), strict=True))
draw = ImageDraw.Draw(image)
for box, score, label in zip(outputs['boxes'][0], outputs['scores'][0], outputs['labels'][0], strict=True):
    if score >= 0.4:
        corners = (box * (x, y, x, y)).tolist()
        draw.rectangle(corners, outline=tuple(certificate['palette'][label]), width=2)
        print(certificate['classes'][label], f'{score:.3f}', *(f'{corner:.1f}' for corner in corners))
image.save(picture)
